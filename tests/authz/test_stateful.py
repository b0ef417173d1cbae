"""One service that caches, through everything that changes, against one that does not.

Snapshots, clocks, client certificates and requests are drawn. Every answer is compared, byte
for byte, with the answer of a service made for that Check alone, and with a second opinion
(``world.expected``) that shares no code with either; so are the audit lines and the counts.
Both services are given the decision's id and the nonce of the step, so an answer that kept
an older one differs.

Everything is drawn from one seed, which a failure names. (Hypothesis' own state machines draw
too little that comes back, and take minutes to shrink what they find.)
"""

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sidecar.authz import response_cache
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.snapshot import build_snapshot
from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.config import model
from sidecar.headers.nonce import NONCE_CHARACTERS
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.counters import Counters
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.revocation import Revocations, read_revocations
from tests.authz.checks import Answer, read_answer
from tests.authz.counted import counted_service
from tests.authz.world import (
    APP,
    CERTIFICATES,
    CONFIGURED,
    OTHER_TENANT,
    RINGS,
    RUBBISH,
    SHOP,
    TOKENS,
    Ask,
    Conditions,
    Expected,
    expected,
)
from tests.support.ids import numbered
from tests.support.minting import ISSUER, NOW, TENANT

CHALLENGE = "/.well-known/acme-challenge/in-flight"
IDENTITY = {"x-tenant-id", "x-user-id", "x-roles", "x-token-id"}
Answered = bytes | Awaitable[bytes]


class Lines:
    """Takes audit lines as ``AuditLog`` does, and keeps them."""

    samples = False

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []

    def record(self, entry: AuditEntry) -> None:
        self.append(encode_entry(entry))

    def append(self, line: bytes) -> None:
        self.taken.append(json.loads(line))


class Step:
    """What both services are given at one step: the time, an id and a nonce."""

    now = NOW
    number = 0
    ticks = 0

    def elapsed_ns(self) -> int:
        """Stand still but between a Check's beginning and its end."""
        self.ticks += 1_000
        return self.ticks

    def new_id(self) -> bytes:
        return numbered(self.number)

    def new_nonce(self) -> bytes:
        return b"%0*d" % (NONCE_CHARACTERS, self.number)


class Lane:
    """A slow lane whose turns are in the test's hands."""

    def __init__(self) -> None:
        self.busy = self.waited_for = False

    def free(self) -> bool:
        return not self.busy

    def later(self, function: Callable[[], Any]) -> Awaitable[Any]:
        self.waited_for = True
        return VerifierPool().run(function)


class VerifierPool:
    """Judges bundles at once."""

    async def run(self, function: Callable[[], Any]) -> Any:
        return function()


def _never(seconds: float, function: Callable[[], None]) -> None:
    """Schedule nothing: lines are written when the test says so."""


class Side:
    """A service with its recorder."""

    def __init__(self, snapshot: Any, step: Step, solver: Any, entries: int, lane: Any) -> None:
        self.lines, self.counters = Lines(), Counters(checks={})
        self.recorder = DecisionRecorder(self.counters, self.lines, _never)  # type: ignore[arg-type]
        self.service, self.slow = counted_service(
            snapshot,
            now=lambda: step.now,
            elapsed_ns=step.elapsed_ns,
            new_id=step.new_id,
            observer=self.recorder,
            on_fault=lambda exc: pytest.fail(repr(exc)),
            cache=TokenCache(entries),
            lane=lane,
            verifier_pool=VerifierPool(),
            new_nonce=step.new_nonce,
        )
        self.service.challenges = solver


def settle(answer: Answered) -> bytes:
    """Wait for an answer that needs nothing from outside."""
    if isinstance(answer, bytes):
        return answer
    waiting = answer.__await__()
    try:
        next(waiting)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits for something that nobody brings")


class Board:
    """The challenges in flight."""

    def __init__(self) -> None:
        self.known: dict[str, Challenge] = {}

    def find(self, token: str) -> Challenge | None:
        return self.known.get(token)


Drawn = dict[str, tuple[tuple[Any, int], ...]]


def often(usual: Any, *others: Any) -> tuple[tuple[Any, int], ...]:
    """Weigh the usual value as all others together."""
    return ((usual, len(others)), *((other, 1) for other in others))


def evenly(*values: Any) -> tuple[tuple[Any, int], ...]:
    """Weigh all alike."""
    return tuple((value, 1) for value in values)


PREFIXES = ("/a", "/b", "/c", "/.well-known")
ROUTE: Drawn = {
    "auth": (("required", 4), ("optional", 3), ("none", 1)),
    "methods": often((), ("GET",)),
    "csp": evenly("shell", "api"),
    "nonce": often("off", "no-store"),
    "cors": often(None, "pages", "anybody", "tenants"),
    "tenant": often(None, TENANT),
    "roles": often((), ("admin",), ("owner",)),
    "scopes": often((), ("read",)),
    "token_from": often(("header",), ("cookie:session",), ("header", "cookie:session")),
    "clients": often((), ("spiffe://example/web",), ("spiffe://example/*",), ("db.example",)),
    "shadow": often(False, True),
    "module": often(None, "signed", "unsigned_by_owner"),
}
ASK: Drawn = {
    "path": (
        ("/a/x", 4), ("/a/x?q", 1), ("/a/y", 1), ("/b/x", 3), ("/c", 2), (CHALLENGE, 1),
        ("/none", 1),
    ),
    "method": often("GET", "POST", "OPTIONS"),
    "host": often(APP, SHOP),
    "token": (
        *((token, 4) for token in TOKENS[:6]), *evenly(*TOKENS[6:], RUBBISH), (None, 4),
    ),
    "place": often(
        "header", "other scheme", "another scheme", "cookie:session", "websocket", "two places",
        "beside cookies", "beside a session", "beside a protocol",
    ),
    "principal": evenly(
        "spiffe://example/web", "", "spiffe://example/other", "spiffe://elsewhere/web"
    ),
    "certificate": often(*CERTIFICATES.values(), ""),
    "origin": often("", "https://page.example", "https://evil.example", f"https://{SHOP}"),
    "preflight": often(False, True),
    "raw_headers": often(False, True),
    "body": often(b"", b"a bundle"),
}  # fmt: skip
ALWAYS = {"auth", "path", "token", "certificate"}
SHARE_UNUSUAL = 0.3
WATERMARKS = (NOW - 10, NOW - 9.5, NOW + 30)
CONDITIONS: Drawn = {
    "ring": often(*RINGS),
    "refuses": often(False, True),
    "revoked_tokens": (
        (frozenset(), 4), *evenly(*(frozenset({each.token_id}) for each in TOKENS[:4])),
    ),
    "subjects_before": often((), *((("user-42", before),) for before in WATERMARKS)),
    "tenants_before": often(
        (), *(((tenant, before),) for tenant in (TENANT, OTHER_TENANT) for before in WATERMARKS)
    ),
}  # fmt: skip
MOMENTS = (
    NOW - 40.25, NOW - 40, NOW - 1, NOW + 1, NOW + 9.75, NOW + 10, NOW + 89.75, NOW + 90,
    NOW + 629.75, NOW + 630,
)  # fmt: skip
"""Around the edges of the tokens' times."""


class Life:
    """A service, and what happens to it between and with its Checks."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # Unusual in few things at a time: what is unusual in all of them meets nothing again.
        self.unusual = {
            name for name in sorted({**ROUTE, **ASK}) if self.random.random() < SHARE_UNUSUAL
        }
        self.step, self.solver, self.lane = Step(), Board(), Lane()
        self.key_state = KeyState.ACTIVE
        self.asked: list[Ask] = []
        self.told: list[dict[str, Any]] = []
        self.counted: dict[tuple[str, str, str], int] = {}
        self.warned = self.fast = 0
        self.conditions = Conditions(routes=tuple(map(self.draw_route, PREFIXES)))
        entries = self.draw(((1000, 6), (0, 1), (1, 1), (4, 1)))
        self.old = Side(self.snapshot(), self.step, self.solver, entries, self.lane)

    def draw(self, values: tuple[tuple[Any, int], ...]) -> Any:
        drawn, weights = zip(*values, strict=True)
        return self.random.choices(drawn, weights)[0]

    def draw_route(self, prefix: str) -> model.RouteSettings:
        drawn = {name: self.draw_field(name, values) for name, values in ROUTE.items()}
        return model.RouteSettings(name=prefix[1:2], path_prefix=prefix, **drawn)

    def draw_field(self, name: str, values: tuple[tuple[Any, int], ...]) -> Any:
        return self.draw(values) if name in self.unusual | ALWAYS else values[0][0]

    def snapshot(self) -> Any:
        """Make the snapshot of the conditions there are now."""
        known = self.conditions
        listed = {
            "tokens": [{"iss": ISSUER, "jti": each, "exp": NOW + 600}
                       for each in sorted(known.revoked_tokens)],
            "subjects": [{"iss": ISSUER, "sub": sub, "issued_before": before}
                         for sub, before in known.subjects_before],
            "tenants": [{"tenant": tenant, "issued_before": before}
                        for tenant, before in known.tenants_before],
        }  # fmt: skip
        config = msgspec.structs.replace(CONFIGURED, routes=known.routes)
        return msgspec.structs.replace(
            build_snapshot(config, RINGS[known.ring]),
            revocations=Revocations(read_revocations(listed), NOW, 930),
            key_state=KeyState.DEGRADED if known.degraded else self.key_state,
            refuse_degraded=known.refuses,
        )

    def change(self, **changes: Any) -> None:
        self.conditions = replace(self.conditions, **changes)
        self.step.now = self.conditions.now
        if changes.keys() != {"now"}:
            self.old.service.snapshot = self.snapshot()

    # What may happen.

    def a_route_changes(self) -> None:
        drawn = list(self.conditions.routes)
        at = self.random.randrange(len(drawn))
        drawn[at] = self.draw_route(PREFIXES[at])
        self.change(routes=tuple(drawn))

    def something_changes(self) -> None:
        """One thing changes, and most of the others come to be as usual again."""
        changes = {
            name: values[0][0] for name, values in CONDITIONS.items() if self.random.random() < 0.7
        }
        name = self.random.choice(sorted(CONDITIONS))
        self.change(**{**changes, name: self.draw(CONDITIONS[name])})

    def the_keys_change_their_state(self) -> None:
        self.key_state = self.random.choice((KeyState.ACTIVE, KeyState.OUTAGE))
        self.change(degraded=self.random.random() < SHARE_UNUSUAL)

    def a_token_in_use_is_revoked(self) -> None:
        tokens = [ask.token for ask in self.asked[-8:] if ask.token is not None]
        if tokens:
            self.change(revoked_tokens=frozenset({self.random.choice(tokens).token_id}))

    def time_passes(self) -> None:
        """There and back, so that most of a life is spent where the tokens are good."""
        self.all_is_asked_again()
        self.change(now=self.random.choice(MOMENTS))
        self.all_is_asked_again()
        self.change(now=NOW)

    def an_order_begins_or_ends(self) -> None:
        token = CHALLENGE.rpartition("/")[2]
        host = self.random.choice((APP, SHOP))
        ask = Ask(CHALLENGE, host=host, token=self.draw(ASK["token"]))
        self.check(ask)
        found = Challenge(token, host, f"{token}.thumbprint", NOW + 1e6)
        self.solver.known = {} if self.solver.known else {token: found}
        self.check(ask)

    def a_page_of_another_origin_asks(self) -> None:
        path, origins = self.draw(ASK["path"]), [self.draw(ASK["origin"]) for _ in range(2)]
        token = self.draw(ASK["token"])
        for origin in (*origins, *origins):
            self.check(Ask(path, "OPTIONS", origin=origin))
            self.check(Ask(path, "OPTIONS", origin=origin, preflight=True))
            self.check(Ask(path, token=token, origin=origin))

    def lines_are_written(self) -> None:
        self.old.recorder.drain()
        assert self.old.lines.taken == self.told
        assert self.old.counters.pii_warnings == self.warned

    def anything_is_asked(self) -> None:
        self.check(Ask(**{name: self.draw_field(name, values) for name, values in ASK.items()}))

    def the_ordinary_is_asked(self) -> None:
        path, host, principal, certificate = (
            self.draw_field(name, ASK[name])
            for name in ("path", "host", "principal", "certificate")
        )
        for token in [self.draw(ASK["token"]) for _ in range(4)] * 2:
            self.check(
                Ask(path, host=host, token=token, principal=principal, certificate=certificate)
            )

    def a_credential_comes_from_elsewhere(self) -> None:
        path, token = self.draw(ASK["path"]), self.draw(ASK["token"])
        for place, _ in self.random.sample(ASK["place"], 3):
            self.check(Ask(path))
            self.check(Ask(path, token=token))
            self.check(Ask(path, token=token, place=place))

    def the_like_is_asked_again(self) -> None:
        """What was asked before, as it was and with one thing changed."""
        if self.asked:
            ask = self.random.choice(self.asked)
            name = self.random.choice(sorted(ASK.keys() & (self.unusual | ALWAYS)))
            self.check(ask)
            self.check(ask)
            self.check(replace(ask, **{name: self.draw(ASK[name])}))

    def all_is_asked_again(self) -> None:
        for ask in self.asked[-6:]:
            self.check(ask)

    EVENTS = (
        (a_route_changes, 1), (something_changes, 2), (the_keys_change_their_state, 1),
        (a_token_in_use_is_revoked, 2), (time_passes, 2), (an_order_begins_or_ends, 1),
        (lines_are_written, 1), (a_page_of_another_origin_asks, 1), (anything_is_asked, 2),
        (the_ordinary_is_asked, 6), (the_like_is_asked_again, 6), (all_is_asked_again, 1),
        (a_credential_comes_from_elsewhere, 2),
    )  # fmt: skip

    def run(self, events: int) -> None:
        for _ in range(events):
            self.draw(self.EVENTS)(self)
        self.lines_are_written()

    # How it is judged.

    def check(self, ask: Ask) -> None:
        self.asked.append(ask)
        self.step.number += 1
        self.lane.busy, self.lane.waited_for = self.draw(often(False, True)), False
        before = self.old.slow()
        raw = ask.encoded()
        answered = self.old.service.handle(raw)
        if self.lane.waited_for:
            # It waits for its turn: what is decided then is decided on what holds then.
            self.random.choice((lambda: None, self.something_changes, self.a_route_changes))()
        self.compare(ask, raw, settle(answered))
        self.fast += self.old.slow() == before

    def compare(self, ask: Ask, raw: bytes, answer: bytes) -> None:
        fresh = Side(self.old.service.snapshot, self.step, self.solver, 0, None)
        wanted = settle(fresh.service.handle(raw))
        read = read_answer(answer)
        assert answer == wanted, f"{ask}: {read} is not {read_answer(wanted)}"
        fresh.recorder.drain()
        self.told += fresh.lines.taken
        for key, count in fresh.counters.checks.items():
            self.counted[key] = self.counted.get(key, 0) + count
        self.warned += fresh.counters.pii_warnings
        assert {key: n for key, n in self.old.counters.checks.items() if n} == self.counted
        self.compare_with_second_opinion(ask, read, fresh.lines.taken[-1])

    def compare_with_second_opinion(self, ask: Ask, answer: Answer, line: dict[str, Any]) -> None:
        if self.is_answered_to_a_ca(ask):
            assert (answer.status, line["reason"]) == (200, "challenge_answered")
            return
        opinion = expected(ask, self.conditions)
        if opinion is None:
            return
        assert answer.metadata["reason"] == line["reason"] == opinion.outcome, ask
        assert answer.metadata.get("shadow", "") == opinion.shadowed
        assert line.get("shadow_reason", "") == opinion.shadowed
        told: dict[str, str] = {}
        if opinion.token is not None:
            told = {
                "x-tenant-id": opinion.token.tenant,
                "x-user-id": opinion.token.subject,
                "x-token-id": opinion.token.token_id,
            }
            if opinion.token.roles:
                told["x-roles"] = ",".join(opinion.token.roles)
        assert {k: v for k, v in answer.set_headers.items() if k in IDENTITY} == told, ask
        self.look_at_the_line(ask, opinion, answer, line)
        assert line.get("tenant", "") == told.get("x-tenant-id", "")
        assert line.get("subject", "") == told.get("x-user-id", "")
        if answer.allowed:
            assert IDENTITY - told.keys() <= set(answer.removed)

    def look_at_the_line(
        self, ask: Ask, opinion: Expected, answer: Answer, line: dict[str, Any]
    ) -> None:
        """Hold the rest of the audit line against what was asked and what came."""
        token, route = opinion.token, self.conditions.route_of(ask)
        at = datetime.fromtimestamp(self.step.now, UTC)
        wanted: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "latency_us": 1,
            "outcome": "allow" if answer.allowed else "deny",
            "status": answer.status,
            "route": "unmatched" if route is None else route.name,
            "method": ask.method,
            "host": ask.host,
            "path": ask.path.partition("?")[0],
            "source": "203.0.113.7",
            "principal": ask.principal or None,
            "key_state": str(self.old.service.snapshot.key_state),
            "kid": None if token is None or token.signed_by is None else token.signed_by.kid,
            "token_id": None if token is None else token.token_id,
        }
        if token is not None:
            wanted["token_digest"] = sha256(token.raw).hexdigest()[:32]
        assert {name: line.get(name) for name in wanted} == wanted, ask
        assert (answer.metadata["route"], answer.metadata["key_state"]) == (
            line["route"], line["key_state"],
        )  # fmt: skip
        assert answer.metadata.get("tenant", "") == line.get("tenant", "")
        warned = token is not None and token.token_id == "tok-9"
        assert ("warnings" in line) is warned or token is None

    def is_answered_to_a_ca(self, ask: Ask) -> bool:
        known = self.solver.known.get("in-flight")
        asked_for = ask.path == CHALLENGE and ask.method == "GET"
        return asked_for and known is not None and known.host == ask.host


def live(seed: int, room: int = 1000, events: int = 30) -> Life:
    """Run one life; ``room`` is that of every table."""
    life = Life(seed)
    try:
        with patch.multiple(
            response_cache, MAX_TARGETS=room, MAX_TEMPLATES=room, MAX_PRINCIPAL_KEYS=room
        ):
            life.run(events)
    except AssertionError as wrong:
        wrong.add_note(f"seed {seed}, room {room}, step {life.step.number}: {life.conditions}")
        raise
    return life


def test_what_is_cached_changes_no_answer() -> None:
    lives = [live(seed) for seed in range(25)]
    assert sum(life.fast for life in lives) > 200, "else nothing that is cached was tried"


@settings(max_examples=20, phases=[Phase.generate])
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 1000]))
def test_nor_does_it_in_lives_that_nobody_chose(seed: int, room: int) -> None:
    live(seed, room)


ONE, OF_EQUAL_PRINCIPAL, SHORT_LIVED, EARLY = TOKENS[0], TOKENS[1], TOKENS[4], TOKENS[5]
WEB, PAGE = "spiffe://example/web", "https://page.example"
SHOWN, BY_NAME = CERTIFICATES[WEB], CERTIFICATES["db.example"]
Script = list[Ask | dict[str, Any]]
SCRIPTS: dict[str, tuple[dict[str, Any], Script]] = {
    "revoked, and another's token has made the answer known": (
        {},
        [
            Ask(token=ONE), Ask(token=OF_EQUAL_PRINCIPAL),
            {"revoked_tokens": frozenset({ONE.token_id})},
            Ask(token=OF_EQUAL_PRINCIPAL), Ask(token=OF_EQUAL_PRINCIPAL), Ask(token=ONE),
        ],
    ),
    "the certificate does not come again": (
        {"clients": (WEB,)},
        [Ask(token=ONE, certificate=SHOWN), Ask(token=ONE, certificate=SHOWN), Ask(token=ONE)],
    ),
    "nor a cookie, nor where there is a header too": (
        {"auth": "optional", "token_from": ("header", "cookie:session")},
        [
            Ask(), Ask(), Ask(token=ONE, place="cookie:session"), Ask(token=ONE), Ask(token=ONE),
            Ask(token=ONE, place="two places"), Ask(token=RUBBISH, place="cookie:session"),
        ],
    ),
    "in shadow a good token without the role is nobody's": (
        {"shadow": True, "roles": ("owner",)}, [Ask(token=ONE), Ask(token=ONE)],
    ),
    "in shadow what passed is forgotten with its moment": (
        {"shadow": True}, [Ask(token=SHORT_LIVED), {"now": NOW + 90}, Ask(token=SHORT_LIVED)],
    ),
    "raw headers, where nobody was known": (
        {"auth": "optional"},
        [Ask(), Ask(), Ask(token=ONE, raw_headers=True), Ask(token=RUBBISH, raw_headers=True)],
    ),
    "another scheme of as many letters": (
        {}, [Ask(token=ONE), Ask(token=ONE), Ask(token=ONE, place="another scheme")],
    ),
    "pages of other origins": (
        {"cors": "pages"},
        [
            Ask(token=ONE, origin=PAGE), Ask(token=ONE, origin=PAGE), Ask(token=ONE),
            Ask(token=ONE, origin="https://evil.example"), Ask(token=ONE, origin=PAGE),
        ],
    ),
    "a preflight to a target of requests": (
        {"cors": "pages", "auth": "none"},
        [
            Ask(method="OPTIONS", origin=PAGE), Ask(method="OPTIONS", origin=PAGE),
            Ask(method="OPTIONS", origin=PAGE, preflight=True),
        ],
    ),
    "the first moment and the last": (
        {},
        [
            {"now": NOW + 10}, Ask(token=EARLY), Ask(token=EARLY),
            {"now": NOW + 9.75}, Ask(token=EARLY), Ask(token=SHORT_LIVED),
            {"now": NOW + 89.75}, Ask(token=SHORT_LIVED), {"now": NOW + 90}, Ask(token=SHORT_LIVED),
        ],
    ),
    "degraded keys, where that refuses and where not": (
        {},
        [
            {"refuses": True}, Ask(token=ONE), Ask(token=ONE),
            {"degraded": True}, Ask(token=ONE), {"refuses": False}, Ask(token=ONE), Ask(token=ONE),
        ],
    ),
    "the certificate decides, not the name that Envoy picked from it": (
        {"clients": ("db.example",), "auth": "none"},
        [
            Ask(principal=WEB, certificate=BY_NAME), Ask(principal="db.example"),
            Ask(principal="db.example", certificate=SHOWN), Ask(certificate=BY_NAME), Ask(),
        ],
    ),
    "another key by the same kid": (
        {}, [Ask(token=ONE), {"ring": "another key by the first one's kid"}, Ask(token=ONE)],
    ),
    "a bundle is judged each time": (
        {"module": "unsigned_by_owner"},
        [Ask(token=TOKENS[7], body=b"x"), Ask(token=TOKENS[7]), Ask(token=ONE, body=b"x")],
    ),
    "each page has its own nonce": ({"nonce": "no-store"}, [Ask(token=ONE)] * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(name: str) -> None:
    route, script = SCRIPTS[name]
    life = Life(0)
    life.change(degraded=False, routes=(model.RouteSettings(name="a", path_prefix="/a", **route),))
    for step in script:
        if isinstance(step, Ask):
            life.check(step)
        else:
            life.change(**step)
    life.lines_are_written()


def test_an_order_that_begins_is_answered_on_a_target_that_was_known() -> None:
    life = Life(0)
    life.change(routes=(model.RouteSettings(name="all", path_prefix="/", auth="none"),))
    for _ in range(2):
        life.check(Ask(CHALLENGE))
        life.check(Ask(CHALLENGE))
        life.solver.known = {"in-flight": Challenge("in-flight", APP, "answer", NOW + 60)}
        life.check(Ask(CHALLENGE))
        life.solver.known = {}
