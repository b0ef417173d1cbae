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


def other_listeners(listen: Listen) -> dict[str, str]:
    """Return the address of every listener except the one of Checks, by its name in the file."""
    named = {
        "admin": listen.admin,
        "sds": listen.sds,
        "reports": listen.reports,
        "probes": listen.probes,
        "metrics": listen.metrics,
    }
    return {name: each.address for name, each in named.items() if each is not None}


def unix_sockets(listen: Listen) -> tuple[Path, ...]:
    """Return the path of every Unix socket that the sidecar opens."""
    addresses = check_endpoints(listen.authz) + tuple(other_listeners(listen).values())
    paths = [each.removeprefix("unix:") for each in addresses if each.startswith("unix:")]
    if (cache := listen.authz.decision_cache) is not None:
        paths.append(cache.socket)
    return tuple(map(Path, paths))
