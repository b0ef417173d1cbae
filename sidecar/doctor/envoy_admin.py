"""What a running Envoy says: whether it reaches the sidecar, its configuration, its secrets."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

import msgspec

from sidecar.config import model
from sidecar.config.network import plain_host
from sidecar.doctor.diagnosis import NotWell, Skip
from sidecar.doctor.surroundings import own_addresses
from sidecar.doctor.vault_entries import EntryLook
from sidecar.envoy_lint.finding import RuleSeverity
from sidecar.envoy_lint.lint import lint
from sidecar.transport.sockets import split_address

_SECONDS = 10.0
MAX_BYTES = 67_108_864
_NAMED = 5


class EnvoyAdmin:
    """Asks the admin port of one Envoy."""

    def __init__(self, address: str, config: model.Config) -> None:
        self._address = address
        self._config = config

    def looks(self) -> Iterator[EntryLook]:
        """Yield what looks at it."""
        yield EntryLook("envoy clusters", self._clusters)
        yield EntryLook("envoy configuration", self._configuration)
        yield EntryLook("envoy secrets", self._secrets)

    async def _clusters(self) -> str:
        answer = await self._get("/clusters?format=json")
        ours = own_addresses(self._config)
        hosts = [each for each in _hosts(answer) if _same(each[1], ours)]
        if not hosts:
            raise NotWell(
                f"no cluster of Envoy leads to {', '.join(sorted(ours))}",
                "Give Envoy a cluster with that address: `sidecar envoy init` writes one.",
            )
        for cluster, address, status in hosts:
            if bad := _unhealthy(status):
                raise NotWell(
                    f"Envoy's cluster {cluster} at {address} is not healthy: {', '.join(bad)}",
                    "Start the sidecar there, and let Envoy connect to the address.",
                )
        names = dict.fromkeys(cluster for cluster, _, _ in hosts)
        return f"{', '.join(names)}: healthy"

    async def _configuration(self) -> str:
        document = await self._get("/config_dump")
        found = lint(document, self._config)
        errors = [each for each in found if each.rule.severity is RuleSeverity.ERROR]
        if errors:
            first = errors[0]
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise NotWell(
                f"{first.rule.identifier}: {first.message}{more}",
                f"Write {first.rule.mend}; `sidecar envoy lint` lists everything.",
            )
        return f"no errors, {len(found)} warnings" if found else "no errors"

    async def _secrets(self) -> str:
        if self._config.listen.sds is None:
            raise Skip("the settings have no listen.sds")
        dumps = _dicts((await self._get("/config_dump")).get("configs"))
        dump = [each for each in dumps if "SecretsConfigDump" in str(each.get("@type"))]
        waiting = [
            str(each.get("name"))[:80]
            for part in dump
            for each in _dicts(part.get("dynamic_warming_secrets"))
        ]
        if waiting:
            raise NotWell(
                f"Envoy waits for {', '.join(waiting[:_NAMED])}",
                "See in the sidecar's log or `sidecar certs list` why it is not served; a name "
                "must be that of an entry in the settings.",
            )
        held = sum(len(_dicts(part.get("dynamic_active_secrets"))) for part in dump)
        return f"{held} held, none awaited"

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            status, raw = await asyncio.to_thread(self._ask, path)
            found: object = msgspec.json.decode(raw)
        except (OSError, HTTPException, OverflowError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or type(exc).__name__
            step = "Start Envoy, or correct --envoy-admin: the address of its `admin`."
            raise NotWell(f"{self._address} does not answer: {why}", step) from None
        except msgspec.DecodeError:
            found, status = None, 0
        if status != HTTPStatus.OK or not isinstance(found, dict):
            step = "Correct --envoy-admin: the address of Envoy's `admin`."
            raise NotWell(f"{self._address} is no admin port of Envoy", step)
        return found

    def _ask(self, path: str) -> tuple[int, bytes]:
        host, port = split_address(self._address)
        with contextlib.closing(HTTPConnection(host, port, timeout=_SECONDS)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_BYTES)


_Host = tuple[str, str, Mapping[str, Any]]
"""The cluster, the address and the health of one endpoint."""


def _hosts(answer: Mapping[str, Any]) -> Iterator[_Host]:
    for cluster in _dicts(answer.get("cluster_statuses")):
        for host in _dicts(cluster.get("host_statuses")):
            yield str(cluster.get("name"))[:80], _address(host.get("address")), host


def _address(value: object) -> str:
    match value:
        case {"socket_address": {"address": host, "port_value": port}}:
            return f"{host}:{port}"
        case {"pipe": {"path": path}}:
            return f"unix:{path}"
    return ""


def _same(address: str, ours: frozenset[str]) -> bool:
    return any(_plain(address) == _plain(each) for each in ours)


def _plain(address: str) -> str:
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    return f"{plain_host(host)}:{port}"


def _unhealthy(host: Mapping[str, Any]) -> Sequence[str]:
    """Return Envoy's own words for what is wrong with an endpoint."""
    health = host.get("health_status")
    flags = health if isinstance(health, dict) else {}
    bad = [name for name, value in flags.items() if value is True]
    if flags.get("eds_health_status", "HEALTHY") != "HEALTHY":
        bad.append(str(flags["eds_health_status"])[:40])
    counts = {
        str(each.get("name")): int(each.get("value", 0)) for each in _dicts(host.get("stats"))
    }
    if not counts.get("cx_active") and counts.get("cx_connect_fail"):
        bad.append(f"{counts['cx_connect_fail']} connections failed, none is open")
    return bad


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
