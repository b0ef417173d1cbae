"""The slow path alone: what it caches, what it drops, and what it leaves to its caller."""

from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from msgspec.structs import replace

from sidecar.authz.decision import Decision
from sidecar.authz.encoding.request import parse_request
from sidecar.authz.evaluate import VerificationDeferred
from sidecar.authz.ports import Outcome
from sidecar.authz.response_cache import AllowedCheck, FastPathFindings, ResponseCache
from sidecar.authz.slow_path import SlowPath
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.reasons import Reason
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.proofs import own_guard
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.support.ids import ONE_ID, one_id
from tests.support.minting import NOW, Issuer


@dataclass
class World:
    """A slow path, its cache, and what it reported."""

    issuer: Issuer
    outcomes: list[Outcome] = field(default_factory=list)
    allowed_checks: list[AllowedCheck] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = ResponseCache(TokenCache(8))
        self.path = SlowPath(
            build_snapshot(parse_config(CONFIG, "test"), self.issuer.ring),
            self.cache,
            now=lambda: NOW,
            elapsed_ns=lambda: 700,
            new_id=one_id,
            new_nonce=lambda: b"",
            observer=self,
            on_fault=self.faults.append,
            verifier_pool=None,
            proofs=own_guard(64),
        )

    def decided(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        self.allowed_checks.append(allowed_check)

    def ask(self, path: str, *, signed_in: bool = False, may_verify: bool = True) -> bytes:
        token = self.issuer.mint().decode()
        headers = {"authorization": f"Bearer {token}"} if signed_in else {}
        attributes = parse_request(check_request(path=path, headers=headers))
        answer = self.path.answer(attributes, 200, lambda: may_verify)
        assert isinstance(answer, bytes)
        return answer


@pytest.fixture
def world(issuer: Issuer) -> World:
    return World(issuer)


def test_another_snapshot_drops_what_was_cached_and_the_same_one_does_not(world: World) -> None:
    world.ask("/public/x")
    world.ask("/nowhere")
    cached, epoch = dict(world.cache.targets), world.cache.epoch
    world.path.snapshot = world.path.snapshot
    assert (world.cache.targets, world.cache.epoch) == (cached, epoch)
    world.path.snapshot = replace(world.path.snapshot, key_state=KeyState.OUTAGE)
    assert (world.cache.targets, world.cache.epoch) == ({}, epoch + 1)
    for path in ("/public/x", "/nowhere"):
        assert read_answer(world.ask(path)).metadata["key_state"] == "outage"


ROWS = [
    ("a public route", "/public/x", False, True),
    ("a verified token", "/api/x", True, True),
    ("no token where one is optional", "/either", False, True),
    ("a denial", "/api/x", False, False),
    ("no route", "/nowhere", False, False),
]


@pytest.mark.parametrize(
    ("path", "signed_in", "repeatable"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_the_fast_path_may_repeat(
    world: World, path: str, signed_in: bool, repeatable: bool
) -> None:
    answer = world.ask(path, signed_in=signed_in)
    assert len(world.allowed_checks) == repeatable
    assert len(world.outcomes) == (not repeatable)
    templates = [
        template
        for target in world.cache.targets.values()
        for template in target.route_scope.answers.values()
    ]
    assert len(templates) == repeatable
    if repeatable:
        assert world.allowed_checks[0][5] == 500, "nanoseconds since it came"
        assert world.ask(path, signed_in=signed_in) == answer
        assert len(world.cache.targets) == 1


def test_a_verification_that_may_not_happen_now_is_the_callers_to_repeat(world: World) -> None:
    with pytest.raises(VerificationDeferred):
        world.ask("/api/x", signed_in=True, may_verify=False)
    assert (world.outcomes, world.allowed_checks, world.faults) == ([], [], [])


FINDINGS: list[tuple[str, int, bytes, bytes]] = [
    ("of the same snapshot", 0, b"", b"/api/x"),
    ("of another snapshot", -1, b"", b"/public/x"),
    ("of a token with white space around it", 0, b" ", b"/api/x"),
]


@pytest.mark.parametrize(
    ("epochs_later", "space", "found_for"),
    [row[1:] for row in FINDINGS],
    ids=[row[0] for row in FINDINGS],
)
def test_the_fast_paths_findings_change_no_decision(
    world: World, epochs_later: int, space: bytes, found_for: bytes
) -> None:
    world.ask("/public/x")
    world.ask("/api/x")
    target = next(each for key, each in world.cache.targets.items() if key[2] == found_for)
    token = world.issuer.mint(jti="tok-new")
    digested = space + token
    findings = FastPathFindings(
        world.cache.epoch + epochs_later, target, 0, sha256(digested).digest(), len(digested)
    )
    headers = {"authorization": f"Bearer {digested.decode()}"}
    attributes = parse_request(check_request(path="/api/x", headers=headers))
    answer = world.path.answer(attributes, 200, findings=findings)
    assert isinstance(answer, bytes)
    assert read_answer(answer).metadata["reason"] == "token_verified"
    assert list(world.cache.tokens.entries) == [sha256(token).digest()]
    assert world.faults == []


def test_a_bundle_without_anybody_to_judge_it_is_a_fault(world: World) -> None:
    """No setting leads there; if one did, the answer is no."""
    snapshot = world.path.snapshot
    route = snapshot.routes.find("GET", "app.septemcore.com", "/api/x")
    assert route is not None
    routes = type(snapshot.routes)([replace(route, module="signed")])
    world.path.snapshot = replace(snapshot, routes=routes)
    assert not read_answer(world.ask("/api/x", signed_in=True)).allowed
    assert world.outcomes[-1].decision.outcome is Reason.INTERNAL_FAULT
    assert len(world.faults) == 1


def test_a_message_that_could_not_be_read_is_recorded_without_a_view(world: World) -> None:
    denied = Decision(Reason.REQUEST_MALFORMED, "no message")
    assert read_answer(world.path.deny(denied, None, 200)).status == 400
    (outcome,) = world.outcomes
    assert (outcome.view, outcome.decision_id, outcome.latency_ns) == (None, ONE_ID.decode(), 500)
