"""Envoy configurations with one mistake each, made of the shipped ones."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.config.yamltree import parse_yaml
from sidecar.envoy_lint.lint import lint

ROOT = Path(__file__).parents[2]
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.http"
AUTHZ = "envoy.filters.http.ext_authz"
SIDECAR = (ROOT / "config.example.yaml").read_text()
Change = Callable[[Any], None]


class Broken(NamedTuple):
    """A rule, what was done to a file, and the other rules that the same mistake breaks."""

    rule: str
    mistake: str
    change: Change
    also: frozenset[str] = frozenset()
    file: str = "edge"
    sidecar: str = ""
    """The sidecar's configuration, where both files are read together."""

    @property
    def config(self) -> Config | None:
        """The sidecar's settings, if this row has some."""
        return settings(self.sidecar) if self.sidecar else None


@cache
def settings(text: str) -> Config:
    """Return the settings that a text says."""
    return parse_config(text, "sidecar.yaml")


@cache
def _shipped(file: str) -> Any:
    text = (ROOT / "envoy" / f"{file}.yaml").read_text()
    return parse_yaml(text, of_envoy=True).value


def document(file: str = "edge") -> Any:
    """Return a shipped file, for a test to change."""
    return copy.deepcopy(_shipped(file))


def listener(root: Any, name: str = "https") -> Any:
    return next(e for e in root["static_resources"]["listeners"] if e["name"] == name)


def manager(root: Any, name: str = "https") -> Any:
    return listener(root, name)["filter_chains"][0]["filters"][0]["typed_config"]


def filters(root: Any) -> list[Any]:
    found: list[Any] = manager(root)["http_filters"]
    return found


def check(root: Any, name: str = "https") -> Any:
    found = (e for e in manager(root, name)["http_filters"] if e["name"] == AUTHZ)
    return next(found)["typed_config"]


def cluster(root: Any, name: str = "sidecar_authz") -> Any:
    return next(e for e in root["static_resources"]["clusters"] if e["name"] == name)


def endpoint(root: Any, name: str = "sidecar_authz") -> list[Any]:
    found: list[Any] = cluster(root, name)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return found


def routes(root: Any) -> list[Any]:
    found: list[Any] = manager(root)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def tls(root: Any, name: str = "https") -> Any:
    return listener(root, name)["filter_chains"][0]["transport_socket"]["typed_config"]


def at(port: int, address: str = "127.0.0.1") -> Any:
    place = {"socket_address": {"address": address, "port_value": port}}
    return {"endpoint": {"address": place}}


def put(value: Any, find: Callable[[Any], Any], *path: str | int) -> Change:
    """Return a change that sets something below what ``find`` finds."""

    def change(root: Any) -> None:
        node = find(root)
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return change


def drop(find: Callable[[Any], Any], *path: str | int) -> Change:
    """Return a change that removes something below what ``find`` finds."""

    def change(root: Any) -> None:
        node = find(root)
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]

    return change


def before_the_check(kind: str, **settings: Any) -> Change:
    """Return a change that puts a filter before ``ext_authz``."""

    def change(root: Any) -> None:
        place = next(n for n, e in enumerate(filters(root)) if e["name"] == AUTHZ)
        config = {"@type": f"{EXTENSIONS}.{kind}", **settings}
        filters(root).insert(place, {"name": "mine", "typed_config": config})

    return change


def allow(*names: str) -> Change:
    """Return a change after which Envoy sends these headers, and no others."""
    return put({"patterns": [{"exact": each} for each in names]}, check, "allowed_headers")


def second_host(root: Any) -> None:
    hosts = manager(root)["route_config"]["virtual_hosts"]
    hosts.append({**hosts[0], "name": "other", "domains": ["other.example"]})
    hosts[0]["domains"] = ["one.example"]
    filters(root)[:] = [e for e in filters(root) if e["name"] != "septem.one_host"]


def unchecked_listener(root: Any) -> None:
    other = {**listener(root), "name": "other"}
    inner = {**manager(root), "stat_prefix": "other"}
    inner["http_filters"] = [e for e in inner["http_filters"] if e["name"] != AUTHZ]
    other["filter_chains"] = [
        {**other["filter_chains"][0], "filters": [{"name": "hcm", "typed_config": inner}]}
    ]
    root["static_resources"]["listeners"].append(other)


def several_endpoints(root: Any) -> None:
    endpoint(root).append(at(9111))
    del cluster(root)["circuit_breakers"]["thresholds"][0]["max_retries"]


def off(**override: Any) -> Change:
    kind = override.pop("kind", "ext_authz.v3.ExtAuthzPerRoute")
    base = EXTENSIONS if "ext_authz" in kind else "type.googleapis.com/envoy"
    value = {"@type": f"{base}.{kind}", "disabled": True}
    return put({AUTHZ: value}, routes, -1, "typed_per_filter_config")


def names_second(root: Any) -> None:
    kind = f"{EXTENSIONS}.compressor.v3.Compressor"
    filters(root).insert(0, {"name": "mine", "typed_config": {"@type": kind}})


def forwarded_for_kept(root: Any) -> None:
    mutations = filters(root)[0]["typed_config"]["mutations"]["request_mutations"]
    mutations[:] = [e for e in mutations if "append" not in e]


def _config(changes: dict[str, str]) -> str:
    text = SIDECAR
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


WORKERS = _config({"address: 127.0.0.1:9100": "address: 127.0.0.1:9110\n    workers: 3"})
ROUTE = "\nroutes:\n"
CLIENTS = _config({ROUTE: f"{ROUTE}  - {{name: peers, path: /peers, clients: ['spiffe://d/a']}}\n"})
STREAMS = _config({ROUTE: f"{ROUTE}  - {{name: s, path: /s, end_streams_with_token: true}}\n"})
COOKIES = _config({ROUTE: f"{ROUTE}  - {{name: c, path: /c, token_from: ['cookie:t']}}\n"})
PROOFS = _config({ROUTE: f"{ROUTE}  - {{name: p, path: /p, binding: {{by: [dpop]}}}}\n"})
BOUND = PROOFS.replace("by: [dpop]", "by: [certificate]")
LOGIN = _config(
    {
        ROUTE: f"{ROUTE}  - {{name: l, path: /l, auth: none, methods: [POST],"
        " limits: {login: {account_json: /email}}}\n"
    }
)
ACME = _config(
    {
        "\nissuers:\n": "\nissuers:\n  - {type: acme, name: public, agree_to_terms: true,"
        " directory: 'https://ca.example/d', account: {path: acme}}\n",
        "\ncertificates:\n": "\ncertificate_store: {prefix: certs}\ncertificates:\n",
    }
)


def rules_of(row: Broken) -> set[str]:
    """Return the rules that a mistake breaks."""
    root = document(row.file)
    row.change(root)
    return {each.rule.identifier for each in lint(root, row.config)}
