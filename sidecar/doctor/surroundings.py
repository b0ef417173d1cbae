"""What the sidecar needs around it: its addresses, folders, Redis, and receivers of its lines."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from sidecar.common.unix_http import UnixConnection
from sidecar.config import model
from sidecar.config.endpoints import check_endpoints
from sidecar.config.network import reachable
from sidecar.doctor.diagnosis import NotWell, Skip
from sidecar.doctor.vault_entries import EntryLook
from sidecar.limits.redis_client import fault_of, make_client
from sidecar.runtime.instance import listeners_of
from sidecar.transport.sockets import ListenFault, open_listeners, path_of, split_address

CONNECT_SECONDS = 5.0
_ADMIN_SECONDS = 3.0
_MAX_ANSWER = 1_048_576
_HTTPS_PORT, _HTTP_PORT = 443, 80


class RunningSidecar:
    """The sidecar that runs with these settings already, if one does."""

    def __init__(self, config: model.Config) -> None:
        self._address = config.listen.admin.address
        self.is_there = False

    async def look(self) -> str:
        """Ask it whether it is ready. Raises ``Skip`` where none runs, ``NotWell`` if not ready."""
        try:
            answer = await asyncio.to_thread(self._ask)
        except (OSError, HTTPException, ValueError, msgspec.DecodeError):
            raise Skip(f"no sidecar runs at {self._address}") from None
        self.is_there = True
        if answer.ready:
            return f"the one at {self._address} is ready"
        said = "; ".join(f"{part}: {why}" for part, why in answer.problems.items())
        raise NotWell(
            f"the one at {self._address} is not ready: {said}",
            "Mend what it names; it becomes ready by itself.",
        )

    def _ask(self) -> "_Readiness":
        address = reachable(self._address)
        path = path_of(address)
        connection: HTTPConnection
        if path is not None:
            connection = on_socket = UnixConnection("localhost", timeout=_ADMIN_SECONDS)
            on_socket.socket_path = str(path)
        else:
            connection = HTTPConnection(*split_address(address), timeout=_ADMIN_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            raw = connection.getresponse().read(_MAX_ANSWER)
        return msgspec.json.decode(raw, type=_Readiness)


class _Readiness(msgspec.Struct):
    ready: bool
    problems: dict[str, str] = {}


def listener_looks(config: model.Config, running: RunningSidecar) -> Iterator[EntryLook]:
    """Yield what looks at each address of ``listen``."""
    for address, name in listeners_of(config).items():
        yield EntryLook(f"{name} {address}", partial(_listener, address, running))


async def _listener(address: str, running: RunningSidecar) -> str:
    if (path := path_of(address)) is not None:
        return _unix(path, running)
    if not split_address(address)[1]:
        return "any free port"
    try:
        for each in open_listeners(address):
            each.close()
    except ListenFault as fault:
        if running.is_there:
            return "in use, by the sidecar that runs"
        step = "Stop what has the address (`ss -ltnp`), or choose another one."
        raise NotWell(str(fault), step) from None
    return "free"


def _unix(path: Path, running: RunningSidecar) -> str:
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise NotWell(
            f"{folder} is no folder that this user may write to",
            "Create it for the sidecar's user (systemd: RuntimeDirectory), or correct the path.",
        )
    if not path.exists():
        return "free"
    if not path.is_socket():
        raise NotWell(f"{path} is a file, and no socket", "Remove it, or choose another path.")
    if running.is_there:
        return "in use, by the sidecar that runs"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return "a socket that was left behind, which the start replaces"
        except OSError as exc:
            raise NotWell(f"{path}: {exc.strerror}", "Let this user connect to it.") from None
    raise NotWell(f"{path} is in use", "Stop the process that has it (`ss -lxp`).")


def surrounding_looks(config: model.Config) -> Iterator[EntryLook]:
    """Yield what looks at Redis, at receivers across the network, and at folders."""
    if config.limits is not None and (redis := config.limits.redis) is not None:
        yield EntryLook("limits.redis", partial(_redis, redis))
    for sink in config.audit.sinks:
        name = f"audit.to {sink.name}"
        match sink:
            case model.FileAudit(path=path):
                yield EntryLook(name, partial(_writable, Path(path).parent))
            case model.OtlpAudit(url=url) | model.ClickHouseAudit(url=url):
                yield EntryLook(name, partial(_connects, url))
            case model.KafkaAudit(brokers=brokers):
                for each in brokers:
                    yield EntryLook(f"{name}, {each}", partial(_reaches, *split_address(each)))
            case model.StdoutAudit():
                pass
    if config.audit.spool is not None:
        yield EntryLook("audit.spool.folder", partial(_spool, Path(config.audit.spool.folder)))
    if config.alerts.webhook is not None:
        yield EntryLook("alerts.webhook", partial(_connects, config.alerts.webhook.url))
    if config.tracing is not None:
        yield EntryLook("tracing", partial(_connects, config.tracing.url))


async def _redis(settings: model.RedisSettings) -> str:
    client = make_client(settings)
    try:
        await client.ping()
    except Exception as exc:  # noqa: BLE001 - whatever the library raises; ``fault_of`` words it
        fault = fault_of(exc, settings)
        step = "Start Redis, or correct limits.redis: address, TLS, user and password_file."
        raise NotWell(str(fault), step) from None
    finally:
        await client.aclose()
    return f"{settings.address} answers"


async def _connects(url: str) -> str:
    """Connect to the host of a URL, of which nothing else is shown: it may be a secret."""
    parts = urlsplit(url)
    default = _HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT
    return await _reaches(parts.hostname or "", parts.port or default)


async def _reaches(host: str, port: int) -> str:
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, OverflowError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        step = "Start it, open the network to it, or correct its address in the settings."
        raise NotWell(f"{where} can't be reached: {why}", step) from None
    writer.close()
    return f"{where} takes connections"


async def _spool(folder: Path) -> str:
    return _writable_now(folder if folder.exists() else folder.parent)  # noqa: ASYNC240 - one stat


async def _writable(folder: Path) -> str:
    return _writable_now(folder)


def _writable_now(folder: Path) -> str:
    if not folder.is_dir():
        raise NotWell(f"{folder} is no folder", "Create it for the sidecar's user.")
    if not os.access(folder, os.W_OK | os.X_OK):
        step = f"Let the sidecar's user write to it: chown it to the user of uid {os.geteuid()}."
        raise NotWell(f"{folder} is not writable for this user", step)
    return f"{folder} is writable"


def own_addresses(config: model.Config) -> frozenset[str]:
    """Return the addresses at which Envoy asks the sidecar."""
    sds = () if config.listen.sds is None else (config.listen.sds.address,)
    return frozenset((*check_endpoints(config.listen.authz), *sds))
