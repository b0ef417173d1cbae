"""Whatever stands in a log, each of its lines is compared and counted, and nothing is raised."""

import json
import random
from typing import Any

import pytest

from sidecar.cli.replay_text import show
from sidecar.common.reasons import Grant, Reason
from sidecar.replay.compare import Comparer
from sidecar.replay.line import parse_line
from sidecar.replay.run import report
from sidecar.replay.tally import Tally
from tests.replay.changes import CHANGES
from tests.replay.lines import raw_line
from tests.replay.traffic import IDP, POLICY, configured
from tests.support.minting import ISSUER, TENANT

DRAWN = random.Random(18)
TEXTS = [
    "", "/", "a", "\x00", "\x1b[2J", "é", "\u202e", "../..", "/api/x", "/api/%2e%2e/x", "*", "?",
    "shop.acme.example", "spiffe://example/web", "spiffe://example/*", "cookie:session", "header",
    "websocket", "cookie:\u00e9", "dpop", "certificate", "GET", "OPTIONS", "get", "ES256", "none",
    "HS256", "jwt", "x" * 5000, TENANT, ISSUER, IDP, "https://page.example", "name",
    "value",
    "10.0.0.1", "::1", "[redacted]", "unmatched", "api", "peers", "proved", "tried", "main",
    "claim 'a' holds b (by its name)", "tenant: 1 request per second, burst 1; would", "{}", "%",
    "the query has one", "the host belongs to another tenant", "42 bytes, the limit is 7",
]  # fmt: skip
NUMBERS = [0, -1, 1, 1_790_000_000, 2**62, 1e18, 0.5, -1e18]
REASONS = [*map(str, Reason), *map(str, Grant), "of_another_version", ""]
FIELDS = (
    "method", "host", "path", "tenant", "subject", "route", "source", "principal", "kid",
    "token_digest", "detail", "decision_id",
)  # fmt: skip
INPUT_TEXTS = ("iss", "alg", "typ", "reading", "place", "dpop", "origin", "announced", "rules")
INPUT_LISTS = (
    "params",
    "aud",
    "roles",
    "scopes",
    "cnf",
    "required",
    "unsought",
    "searched",
    "peer",
)
TIMES = [
    "2026-09-21T14:13:20.000+00:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999+00:00",
    "2026-09-21T14:13:20Z", "1969-12-31T23:59:59+23:59",
]  # fmt: skip


def texts() -> list[str]:
    return DRAWN.choices(TEXTS, k=DRAWN.randrange(4))


def hostile_inputs() -> Any:
    if DRAWN.random() < 0.1:
        return DRAWN.choice([None, 5, [], "x", {"cut": True}, {"new": 1}, {}])
    made: dict[str, Any] = {
        name: DRAWN.choice(TEXTS) for name in INPUT_TEXTS if DRAWN.random() < 0.3
    }
    made |= {name: texts() for name in INPUT_LISTS if DRAWN.random() < 0.4}
    made |= {name: DRAWN.choice(NUMBERS) for name in ("iat", "nbf", "exp") if DRAWN.random() < 0.7}
    if DRAWN.random() < 0.6:
        made["iss"] = DRAWN.choice([ISSUER, IDP])
        made["alg"] = "ES256"
        made["typ"] = "jwt"
    if DRAWN.random() < 0.5:
        made["size"] = DRAWN.choice([0, -5, 7, 10**15])
    if DRAWN.random() < 0.2:
        made["in_query"] = True
    return made


def hostile_line() -> bytes:
    made: dict[str, Any] = json.loads(raw_line())
    for name in FIELDS:
        if DRAWN.random() < 0.25:
            made[name] = DRAWN.choice(TEXTS)
    made["time"] = DRAWN.choice(TIMES)
    made["reason"] = DRAWN.choice(REASONS)
    made["outcome"] = DRAWN.choice(["allow", "deny"])
    made["status"] = DRAWN.choice([0, 200, -1, 10**18])
    if DRAWN.random() < 0.2:
        made["shadow_reason"] = DRAWN.choice(REASONS)
    if DRAWN.random() < 0.3:
        made["warnings"] = texts()
    if DRAWN.random() < 0.8:
        made["inputs"] = hostile_inputs()
    return json.dumps(made).encode()


RATE = "{requests: 1, per_seconds: 1}"
LIMITS = f"limits: {{tenant: {RATE}, address: {RATE}, token: {RATE}}}\nroutes:\n"


def test_nothing_is_raised_for_any_line(capsys: pytest.CaptureFixture[str]) -> None:
    limited = configured(lambda text: CHANGES["the api public"](text).replace("routes:\n", LIMITS))
    comparers = [
        Comparer(configured()),
        Comparer(limited),
        Comparer(configured(CHANGES["the api gone"]), configured()),
        Comparer(configured(CHANGES["an audience less"]), limited),
    ]
    tallies = [Tally() for _ in comparers]
    parsed = [parse_line(hostile_line()) for _ in range(1500)]
    lines = [line for line in parsed if line is not None]
    assert len(lines) > 1000
    for line in lines:
        for comparer, tally in zip(comparers, tallies, strict=True):
            tally.add(line, comparer.compare(line))
    for comparer, tally in zip(comparers, tallies, strict=True):
        assert tally.replayed == len(lines)
        assert min(tally.verdicts.values()) > 0
        found = report(tally, comparer, "new.yaml", None)
        assert json.dumps(found).isascii()
        show(found, 1000, "audit.jsonl")
        out = capsys.readouterr().out
        assert not set(out) & {"\x00", "\x1b", "\u202e"}


def test_the_policy_is_the_one_that_is_tried() -> None:
    assert "record_inputs: true" in POLICY
