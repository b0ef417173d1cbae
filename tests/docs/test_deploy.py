"""Alert rules and dashboard speak of metrics that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus-alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana-dashboard.json"


@cache
def exported() -> set[str]:
    """Every metric's name, as Prometheus sees it."""
    text = "".join(path.read_text() for path in sorted((ROOT / "sidecar").rglob("*.py")))
    names = set(re.findall(r'"(septem_\w+)"', text))
    return {f"{name}{end}" for name in names for end in ("", "_total", "_bucket", "_info")}


def used(text: str) -> set[str]:
    return set(re.findall(r"\bseptem_\w+", text))


def test_the_rules_use_metrics_that_exist() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    for rule in rules:
        assert used(rule["expr"]), rule["alert"]
        assert used(rule["expr"]) <= exported(), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_the_dashboard_uses_metrics_that_exist() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    pictures = [panel for panel in panels if panel["type"] != "row"]
    assert len(pictures) > 30
    for panel in pictures:
        for target in panel["targets"]:
            assert used(target["expr"]), panel["title"]
            assert used(target["expr"]) <= exported(), panel["title"]
            assert target["expr"].count('instance=~"$instance"') >= len(used(target["expr"]))


def test_the_dashboard_is_what_its_table_says_and_no_panel_hides_another() -> None:
    command = [sys.executable, str(ROOT / "tools/write_dashboard.py"), "--check"]
    done = subprocess.run(command, check=False, timeout=30)
    assert done.returncode == 0, "run `make dashboard`"
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in panels}) == len(panels)


PROMTOOL = shutil.which("promtool", path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: tools/get-promtool found no apt")
def test_promtool_accepts_the_rules() -> None:
    command = [str(PROMTOOL), "check", "rules", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
