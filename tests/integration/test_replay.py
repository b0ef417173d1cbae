"""Replay's predictions against a real sidecar behind a real Envoy, which then gets the new file.

The same requests are sent under each configuration. What replay made of the first one's audit log
must be what the sidecar does with the other ones: by the pure table of ``tests/replay`` for each
kind of change, and here by the whole way, from the reload to the file that the audit thread wrote.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.cases import OTHER_TENANT, TENANT, Header, Minter, bearer
from demo.stack import Stack
from sidecar.cli.admin_client import request_admin
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.config.load import load_config
from sidecar.replay.decider import Decider
from sidecar.replay.line import RecordedLine, parse_line
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


class Traffic:
    """Requests that can be sent again, and the lines that they leave."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings: Settings = yaml.safe_load(stack._config.read_text())
        mint = Minter(stack.key, wall_seconds())
        past = mint.claims()["iat"] - 3000
        good = bearer(mint.good())
        other = bearer(mint.good(tenantId=OTHER_TENANT, sub="user-2", jti="j2"))
        plain = bearer(mint.good(roles=[], sub="user-3", jti="j3"))
        expired = bearer(mint.good(iat=past, nbf=past, exp=past + 900))
        tokens: list[list[Header]] = [
            [], [good], [good], [other], [plain], [expired], [bearer(mint.forged())],
            [bearer(mint.of_unknown_key())], [bearer(mint.good(aud="https://else.example"))],
            [bearer(mint.good(typ="refresh"))], [bearer("rubbish")], [good, good],
            [bearer(mint.good(jti="long", exp=mint.claims()["iat"] + 3600))],
        ]  # fmt: skip
        paths = ("/api/orders", "/assets/logo.svg", "/", "/nowhere", "/api/Orders")
        self.requests = [(path, headers) for path in paths for headers in tokens]

    def decide_by(self, change: Callable[[Settings], None]) -> Path:
        """Have the running sidecar decide by a changed configuration; return its file."""
        settings: Settings = yaml.safe_load(yaml.safe_dump(self.settings))
        settings["audit"]["record_inputs"] = True
        change(settings)
        path = self.stack._config
        path.with_suffix(".new").write_text(yaml.safe_dump(settings, sort_keys=False))
        path.with_suffix(".new").rename(path)
        admin = f"127.0.0.1:{self.stack.admin_port}"
        assert request_admin(admin, "POST", "/config/reload")[1]["result"] == "applied"
        return path

    def send(self) -> list[RecordedLine]:
        """Send every request and return its line."""
        before = len(self._lines())
        for path, headers in self.requests:
            self.stack.client.get(path, headers)
        wait_until(lambda: len(self._lines()) == before + len(self.requests))
        return self._lines()[before:]

    def _lines(self) -> list[RecordedLine]:
        raw = (self.stack.folder / "audit.jsonl").read_bytes().splitlines()
        return [line for line in map(parse_line, raw) if line is not None]


def nothing(_: Settings) -> None:
    """Change nothing."""


def route(settings: Settings, name: str) -> Settings:
    return next(each for each in settings["routes"] if each["name"] == name)


def stricter(settings: Settings) -> None:
    route(settings, "api")["roles"] = ["admin", "editor"]
    route(settings, "assets")["auth"] = "optional"
    settings["tokens"]["leeway_seconds"] = 5
    settings["keys"] = {**settings["keys"], "denied_kids": ["retired-long-ago"]}


def wider(settings: Settings) -> None:
    route(settings, "api")["auth"] = "none"
    settings["tokens"]["issuers"][0]["audiences"].append("https://else.example")
    settings["tokens"]["max_lifetime_seconds"] = 7200
    settings["routes"].append({"name": "all", "path_prefix": "/nowhere", "auth": "optional"})


def moved(settings: Settings) -> None:
    settings["routes"].remove(route(settings, "landing"))
    route(settings, "api").update(tenant=TENANT, path_reading="exact", name="api-v2")
    route(settings, "assets")["shadow"] = True
    route(settings, "assets")["auth"] = "required"


def test_what_is_predicted_of_a_real_log_comes_true(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traffic = Traffic(stack)
    traffic.decide_by(nothing)
    recorded = traffic.send()
    log = tmp_path / "audit.jsonl.gz"
    log.write_bytes(gzip.compress((stack.folder / "audit.jsonl").read_bytes()))
    for change in (stricter, wider, moved):
        config = traffic.decide_by(change)
        actual = traffic.send()
        decider = Decider(load_config(config))
        predictions = [decider.predict(line) for line in recorded]
        assert sum(each.access != "unknown" for each in predictions) > 0.6 * len(recorded)
        differences = 0
        for then, now, made in zip(recorded, actual, predictions, strict=True):
            if made.access == "unknown":
                continue
            assert made.access == now.outcome, (change.__name__, then, now, made)
            if not made.open:
                assert (made.reason, made.route, made.status) == (now.reason, now.route, now.status)
            differences += then.outcome != now.outcome
        assert differences, "the change must be one that is noticed"
        assert main(["replay", str(log), "--config", str(config), "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert found["skipped_lines"] == 0
        assert found["gained"]["requests"] + found["lost"]["requests"] >= differences
