"""The endpoints of Checks, one or one per worker, and all Unix sockets."""

from pathlib import Path, PurePosixPath

from sidecar.config.model import AuthzListen, Listen


def check_endpoints(listen: AuthzListen) -> tuple[str, ...]:
    """Return the addresses, in the order of the workers.

    Several workers take the port and those after it (``127.0.0.1:9110``, ``:9111`` …), or
    the socket's name with their number in it (``authz-0.sock``, ``authz-1.sock`` …).
    """
    if listen.workers == 1:
        return (listen.address,)
    if listen.address.startswith("unix:"):
        path = PurePosixPath(listen.address.removeprefix("unix:"))
        names = (f"{path.stem}-{number}{path.suffix}" for number in range(listen.workers))
        return tuple(f"unix:{path.with_name(name)}" for name in names)
    host, _, port = listen.address.rpartition(":")
    return tuple(f"{host}:{int(port) + number}" for number in range(listen.workers))


def unix_sockets(listen: Listen) -> tuple[Path, ...]:
    """Return the path of every Unix socket that the sidecar opens."""
    others = (listen.sds, listen.admin, listen.reports, listen.probes)
    addresses = check_endpoints(listen.authz) + tuple(each.address for each in others if each)
    paths = [each.removeprefix("unix:") for each in addresses if each.startswith("unix:")]
    if (cache := listen.authz.decision_cache) is not None:
        paths.append(cache.socket)
    return tuple(map(Path, paths))
