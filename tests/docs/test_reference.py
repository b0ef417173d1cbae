"""The reference is what the code knows, and each alert leads to a runbook."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config.model import Config
from sidecar.config.reloading import LIVE
from sidecar.observability.metrics import Metrics
from tests.cli.table import leaves
from tools.reference import admin_routes, metrics
from tools.reference.alerts import RULES, Alert, alerts
from tools.reference.commands import commands
from tools.reference.metrics import Metric
from tools.reference.settings import places
from tools.reference.source import field_texts
from tools.write_reference import DOCS, PAGES

ROOT = Path(__file__).parents[2]
PAGE = {name: (DOCS / name).read_text() for name in PAGES}
SETTINGS = PAGE["reference-settings.md"]
RUNBOOKS = (DOCS / "runbooks.md").read_text()
ALERTS = {alert.name: alert for alert in alerts()}
METRICS = {metric.name: metric for metric in metrics.metrics()}


@pytest.mark.parametrize(("name", "made"), PAGES.items(), ids=PAGES)
def test_each_page_is_what_the_code_knows(name: str, made: Callable[[], str]) -> None:
    assert PAGE[name] == made(), "run: make reference"


@pytest.mark.parametrize("name", PAGES)
def test_no_cell_is_empty(name: str) -> None:
    rows = [line for line in PAGE[name].splitlines() if line.startswith("|")]
    assert [row for row in rows if re.search(r"\|\s*\|", row.replace(r"\|", ""))] == []


def test_every_setting_has_its_entry_and_is_described() -> None:
    paths = [place.path for place in places()]
    assert {path.split(".")[0].removesuffix("[]") for path in paths} == {
        field.encode_name for field in msgspec.structs.fields(Config)
    }
    for path in paths:
        assert f"\n### `{path}`\n" in SETTINGS or f"\n## {path}\n\n" in SETTINGS, path
    assert re.findall(r"^(?:- `[^`]+: [^`]+`: )?\*\*Takes.*", SETTINGS, re.MULTILINE) == []


def entry(path: str) -> str:
    return SETTINGS.split(f"\n### `{path}`\n", 1)[1].split("\n#", 1)[0].strip()


def test_an_entry_has_type_range_default_and_what_a_change_takes() -> None:
    drain = entry("listen.drain_seconds")
    assert "**Takes** a number " in drain
    assert "default: `5.0`. **Change:** restart; sockets and their limits" in drain
    assert "required. **Change:** reload." in entry("tokens.issuers[].audiences")
    assert "default: the system's" in entry("vault.ca_file")
    assert "`source: vault_transit`" in entry("tokens.issuers[].keys.name")
    assert "each one of: " in entry("tokens.issuers[].algorithms")


def test_what_a_reload_applies_is_said_to_be_applied_by_one() -> None:
    for place in places():
        if f"### `{place.path}`" in SETTINGS and place.reloads_as in LIVE:
            assert "**Change:** reload." in entry(place.path), place.path


def test_every_command_is_there() -> None:
    assert {each.words for each in commands()} == {f"sidecar {leaf.words}" for leaf in leaves()}


def families() -> dict[str, tuple[str, set[str]]]:
    found = {}
    for family in Metrics().collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[f"{family.name}{suffix}"] = (family.type, labels)
    return found


def test_metrics_are_read_as_the_registry_has_them() -> None:
    for name, (kind, labels) in families().items():
        assert METRICS[name].kind == kind, name
        assert labels <= set(METRICS[name].labels), name


ODD_METRICS = {
    "labels that are computed": "GaugeMetricFamily('septem_b', 'B', labels=f())",
    "labels of a name that is elsewhere": "CounterMetricFamily('septem_b', 'B', labels=elsewhere)",
    "a help that is computed": "counter('septem_b', str(1), 2)",
}


@pytest.mark.parametrize("source", ODD_METRICS.values(), ids=ODD_METRICS)
def test_a_metric_that_cannot_be_read_is_an_error(source: str) -> None:
    with pytest.raises((TypeError, KeyError, ValueError)):
        list(metrics._of_file(ast.parse(source), metrics.ROOT / "sidecar/keys/x.py"))


def test_a_loop_over_rows_is_read() -> None:
    source = (
        "ROWS = (('a', 'septem_a', 'A'), ('b', 'septem_b', 'B'))\n"
        "for what, name, words in ROWS:\n"
        "    CounterMetricFamily(name, words, labels=['x', *MORE])\n"
        "MORE = ('y',)\n"
    )
    found = list(metrics._of_file(ast.parse(source), metrics.ROOT / "sidecar/keys/x.py"))
    assert found == [
        Metric("septem_a_total", "counter", ("x", "y"), "A", "keys"),
        Metric("septem_b_total", "counter", ("x", "y"), "B", "keys"),
    ]


def test_a_route_without_a_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without: dict[Any, str] = dict(admin_routes.MEANINGS)
    del without["GET", "/limits"]
    monkeypatch.setattr(admin_routes, "MEANINGS", without)
    with pytest.raises(LookupError, match="/limits"):
        admin_routes.admin_page()


def test_a_field_without_a_text_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "fields.py"
    source.write_text('class A:\n    said: int\n    """So."""\n    bare: int\n')
    with pytest.raises(LookupError, match="bare"):
        field_texts(source, "A")


def test_the_rules_say_labels_that_their_metrics_have() -> None:
    written = RULES.read_text()
    for alert in ALERTS.values():
        said = set(re.findall(r"<(\w+)>", alert.summary))
        known = {label for name in alert.metrics for label in METRICS[name].labels}
        assert said <= known | {"instance"}, alert.name
    assert written.count("- alert: ") == len(ALERTS)


def runbooks() -> dict[str, str]:
    found = re.split(r"^### (\w+)\n", RUNBOOKS, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert runbooks().keys() == ALERTS.keys()
    assert len(re.findall(r"^### ", RUNBOOKS, re.MULTILINE)) == len(ALERTS)


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_a_runbook_says_what_is_affected_and_then_steps(alert: Alert) -> None:
    affected, *steps = re.split(r"^\d\. ", runbooks()[alert.name], flags=re.MULTILINE)
    assert affected.strip().endswith((".", "`."))
    assert len(steps) >= 2
    assert alert.runbook_url == f"docs/{alert.runbook}"


def test_runbooks_name_commands_that_there_are() -> None:
    known = {leaf.words for leaf in leaves()}
    groups = {words.split()[0] for words in known}
    for words in re.findall(r"`sidecar ([a-z -]+?)(?: --| <| FILE|`)", RUNBOOKS):
        assert words in known | groups, words
