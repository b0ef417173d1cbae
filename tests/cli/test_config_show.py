"""``sidecar config show``."""

import json
from pathlib import Path

from sidecar.config import parse_config
from tests.cli.commands import Run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"


def test_it_prints_a_configuration(run: Run) -> None:
    code, out, _ = run("config", "show", EXAMPLE)
    assert code == 0
    assert parse_config(out, "shown") == parse_config(EXAMPLE.read_text(), "example")
    assert "# default" in out


def test_only_what_is_written(run: Run) -> None:
    code, out, _ = run("config", "show", "--written", EXAMPLE)
    assert code == 0
    assert "# default" not in out
    assert parse_config(out, "shown") == parse_config(EXAMPLE.read_text(), "example")


def test_as_json(run: Run) -> None:
    _, out, _ = run("config", "show", "--json", EXAMPLE)
    assert json.loads(out)["log.level"] == {"value": "info", "default": False}


def test_a_secret_url_is_hidden(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    webhook = "alerts: {webhook: {url: 'https://hooks.example/T0/SECRET', secret_file: /s}}\n"
    path.write_text(EXAMPLE.read_text() + webhook)
    for options in ([], ["--json"]):
        _, out, _ = run("config", "show", *options, path)
        assert "SECRET" not in out
        assert "https://hooks.example/(not shown)" in out
