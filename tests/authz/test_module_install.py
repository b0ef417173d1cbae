"""A route that installs modules: nothing passes before its bundle is judged."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from envoy_data_plane.envoy.service.auth.v3 import CheckRequest
from msgspec.structs import replace

from sidecar.authz.decision import Decision, RequestView
from sidecar.authz.module_install import judge_bundle
from sidecar.authz.ports import Outcome
from sidecar.authz.response_cache import AllowedCheck
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.config import parse_config
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import sign_digest
from sidecar.tokens.verifier import verify_token
from sidecar.transport.lane import SlowLane
from tests.authz.checks import Answer, check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.support.ids import one_id
from tests.support.minting import NOW, Issuer

BUNDLE = b"export default 1;" * 100
KEY = ec.generate_private_key(ec.SECP256R1())
WITHDRAWN = b"a bundle that turned out to be bad"
PUBLISHERS = Publishers(
    [PublisherKey("acme", KEY.public_key())], [hashlib.sha256(WITHDRAWN).hexdigest()]
)
MODULES = """\
  - {name: install, path: /modules/install, methods: [POST], module: signed}
  - {name: try, path: /modules/try, methods: [POST], module: unsigned_by_owner}
  - {name: api,"""
POLICY = CONFIG.replace("  - {name: api,", MODULES) + (
    "modules: {max_bundle_bytes: 100000, owner_roles: [platform-owner]}\n"
)


def sign(bundle: bytes = BUNDLE) -> str:
    return sign_digest(hashlib.sha256(bundle).digest(), KEY)


class Inline:
    """A verifier pool that checks at once."""

    async def run(self, function: Callable[[], Any]) -> Any:
        return function()


class Full:
    """A verifier pool with a full queue."""

    async def run(self, function: Callable[[], Any]) -> Any:  # noqa: ARG002 - the port's signature
        raise Denied(Reason.MODULES_BUSY, "full")


class Broken:
    """A verifier pool with a bug."""

    async def run(self, function: Callable[[], Any]) -> Any:  # noqa: ARG002 - the port's signature
        raise RuntimeError("a defect")


class Registry:
    """A service over the policy above, and all that it reported."""

    def __init__(self, issuer: Issuer, **changes: Any) -> None:
        self.issuer = issuer
        self.outcomes: list[Outcome] = []
        self.faults: list[Exception] = []
        self.allowed_checks: list[AllowedCheck] = []
        snapshot = build_snapshot(parse_config(POLICY, "test"), issuer.ring)
        self.service = CheckService(
            replace(snapshot, publishers=PUBLISHERS),
            now=lambda: NOW,
            elapsed_ns=lambda: 0,
            new_id=one_id,
            observer=self,
            on_fault=self.faults.append,
            **{"verifier_pool": Inline(), **changes},
        )

    def decided(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        self.allowed_checks.append(allowed_check)

    def request(
        self,
        body: bytes = BUNDLE,
        path: str = "/modules/install",
        roles: tuple[str, ...] = ("admin",),
        signature: str | None = None,
        token: bool = True,
        **headers: str,
    ) -> bytes:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {self.issuer.mint(roles=list(roles)).decode()}"
        if signature is not None:
            sent["x-module-signature"] = signature
        request = CheckRequest.parse(check_request("POST", path, headers=sent))
        request.attributes.request.http.raw_body = body  # type: ignore[union-attr]
        return bytes(request)

    async def install(self, **request: Any) -> Answer:
        answer = self.service.handle(self.request(**request))
        return read_answer(answer if isinstance(answer, bytes) else await answer)


OWNER = ("platform-owner",)
LARGEST = b"x" * 100_000
ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("signed", {"signature": sign()}, "token_verified"),
    (
        "signed, on a route that takes unsigned",
        {"signature": sign(), "path": "/modules/try"},
        "token_verified",
    ),
    ("unsigned", {}, "module_unsigned"),
    ("unsigned, by an owner", {"roles": OWNER}, "module_unsigned"),
    (
        "unsigned, where an owner may",
        {"path": "/modules/try", "roles": ("x", *OWNER)},
        "token_verified",
    ),
    ("unsigned, where an owner may, by another", {"path": "/modules/try"}, "module_unsigned"),
    (
        "badly signed, by an owner",
        {"path": "/modules/try", "roles": OWNER, "signature": "x"},
        "module_signature_malformed",
    ),
    ("no token", {"signature": sign(), "token": False}, "token_missing"),
    ("another bundle", {"signature": sign(b"other")}, "module_signature_invalid"),
    ("one byte more", {"body": BUNDLE + b" ", "signature": sign()}, "module_signature_invalid"),
    ("no body", {"body": b"", "signature": sign(b"")}, "module_missing"),
    (
        "a part of the body",
        {"signature": sign(), "x_envoy_auth_partial_body": "true"},
        "module_missing",
    ),
    (
        "over the limit",
        {"body": LARGEST + b"x", "signature": sign(LARGEST + b"x")},
        "module_too_large",
    ),
    ("at the limit", {"body": LARGEST, "signature": sign(LARGEST)}, "token_verified"),
    ("withdrawn", {"body": WITHDRAWN, "signature": sign(WITHDRAWN)}, "module_withdrawn"),
    (
        "withdrawn, unsigned, by an owner",
        {"body": WITHDRAWN, "path": "/modules/try", "roles": OWNER},
        "module_withdrawn",
    ),
    (
        "as bytes",
        {"signature": sign(), "content_type": "application/octet-stream"},
        "token_verified",
    ),
    (
        "as JavaScript",
        {"signature": sign(), "content_type": "Text/JavaScript; charset=UTF-8"},
        "token_verified",
    ),
    (
        "identity is no encoding",
        {"signature": sign(), "content_encoding": "identity"},
        "token_verified",
    ),
    ("a body where none is asked for", {"path": "/api/x"}, "token_verified"),
]


ENCODED = [
    {"content_encoding": "gzip"},
    {"content_encoding": "identity, gzip"},
    {"content_encoding": "identity, identity"},
    {"content_encoding": "GZIP"},
    {"content_range": "bytes 0-9/10"},
    {"content_transfer_encoding": "base64"},
    {"content_type": "multipart/form-data; boundary=x"},
    {"content_type": "multipart/related"},
    {"content_type": "application/x-www-form-urlencoded"},
    {"content_type": "message/http"},
    {"content_type": "application/json"},
    {"content_type": "text/javascript; charset=utf-16"},
    {"content_type": "text/javascript; charset=utf-7"},
    {"content_type": "text/javascript; charset=utf-8; charset=utf-16"},
    {"content_type": "text/javascript; version=1"},
    {"content_type": "text/javascript, multipart/form-data"},
    {"content_type": "; charset=utf-8"},
    {"content_type": "text/java\xe9script"},
]
ROWS += [
    (f"read otherwise: {headers}", {"signature": sign(), **headers}, "module_encoded")
    for headers in ENCODED
]
ROWS += [
    (
        "unsigned and read otherwise, by an owner",
        {"path": "/modules/try", "roles": OWNER, "content_encoding": "br"},
        "module_encoded",
    ),
    (
        "encoded, where no module is installed",
        {"path": "/api/x", "content_encoding": "gzip"},
        "token_verified",
    ),
]


@pytest.mark.parametrize(("request_", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
async def test_rows(issuer: Issuer, request_: dict[str, Any], reason: str) -> None:
    registry = Registry(issuer)
    answer = await registry.install(**request_)
    assert answer.metadata["reason"] == reason
    assert answer.allowed is (reason == "token_verified")
    if request_.get("path") != "/api/x":
        assert registry.outcomes[-1].decision.outcome == reason
        assert registry.allowed_checks == [], "a bundle never takes the fast path"
    assert registry.faults == []


@pytest.mark.parametrize(
    ("sent", "removed"),
    [
        ({}, {"content-encoding", "content-range", "content-transfer-encoding", "content-type"}),
        (
            {"content_encoding": "identity", "content_type": "text/javascript"},
            {"content-range", "content-transfer-encoding"},
        ),
    ],
)
async def test_what_envoy_may_have_kept_back_does_not_reach_the_registry(
    issuer: Issuer, sent: dict[str, str], removed: set[str]
) -> None:
    registry = Registry(issuer)
    for _ in range(2):
        answer = await registry.install(signature=sign(), **sent)
        assert {name for name in answer.removed if name.startswith("content-")} == removed
        other = await registry.install(path="/api/x")
        assert not {name for name in other.removed if name.startswith("content-")}


async def test_the_application_is_told_the_publisher_and_nobody_else_can_say_it(
    issuer: Issuer,
) -> None:
    spoofed = {"x_module_publisher": "globex", "x_module_verified": "true"}
    answer = await Registry(issuer).install(signature=sign(), **spoofed)
    assert answer.set_headers["x-module-publisher"] == "acme"
    assert answer.set_headers["x-module-verified"] == "true"
    assert not {"x-module-publisher", "x-module-verified"} & set(answer.removed)
    owner = {"path": "/modules/try", "roles": OWNER}
    answer = await Registry(issuer).install(**owner, **spoofed)
    assert answer.set_headers["x-module-verified"] == "false"
    assert "x-module-publisher" in answer.removed
    answer = await Registry(issuer).install(path="/api/x", **spoofed)
    assert {"x-module-publisher", "x-module-verified", "x_module_verified"} <= set(answer.removed)


async def test_the_audit_log_knows_the_digest_and_the_signer(issuer: Issuer) -> None:
    registry = Registry(issuer)
    sha256 = hashlib.sha256(BUNDLE).hexdigest()
    await registry.install(signature=sign())
    assert registry.outcomes[-1].decision.detail == f"bundle sha256:{sha256} acme"
    await registry.install(signature=sign(b"other"))
    decision = registry.outcomes[-1].decision
    assert sha256 in decision.detail
    assert decision.token is not None, "who tried is known"


async def test_answers_that_are_cached_are_not_mixed_up(issuer: Issuer) -> None:
    """One service, one token: signed, unsigned and no bundle at all take turns."""
    registry = Registry(issuer)
    for _ in range(2):
        signed = await registry.install(signature=sign(), path="/modules/try")
        assert signed.set_headers["x-module-verified"] == "true"
        unsigned = await registry.install(path="/modules/try", roles=("platform-owner",))
        assert unsigned.set_headers["x-module-verified"] == "false"
        assert "x-module-publisher" not in unsigned.set_headers


async def test_a_verifier_pool_that_is_full_is_a_503(issuer: Issuer) -> None:
    answer = await Registry(issuer, verifier_pool=Full()).install(signature=sign())
    assert (answer.status, answer.metadata["reason"]) == (503, "modules_busy")


@pytest.mark.parametrize("verifier_pool", [Broken(), None])
async def test_a_defect_never_lets_a_bundle_pass(issuer: Issuer, verifier_pool: object) -> None:
    registry = Registry(issuer, verifier_pool=verifier_pool)
    answer = await registry.install(signature=sign())
    assert (answer.status, answer.metadata["reason"]) == (503, "internal_fault")
    assert len(registry.faults) == 1


async def test_a_turn_in_the_slow_lane_first(issuer: Issuer) -> None:
    """Tokens not seen before wait for their turn; the bundle is judged after that."""
    lane = SlowLane(asyncio.get_running_loop())
    registry = Registry(issuer, lane=lane)
    assert lane.free()
    assert (await registry.install(signature=sign())).allowed
    assert not (await registry.install(signature=sign(b"other"))).allowed


@pytest.mark.parametrize("missing", ["policy", "mode", "token"])
def test_a_bundle_that_nothing_is_known_of_is_refused(issuer: Issuer, missing: str) -> None:
    """The evaluation never comes here so; if it did, the answer is no."""
    snapshot = build_snapshot(parse_config(POLICY, "test"), issuer.ring)
    token = verify_token(issuer.mint(), issuer.ring, snapshot.tokens, NOW)
    decision = Decision(Grant.TOKEN_VERIFIED, token=token, module="signed")
    if missing == "policy":
        snapshot = replace(snapshot, modules=None)
    else:
        decision = replace(decision, **{"token" if missing == "token" else "module": None})
    view = RequestView(b"POST", b"h", b"/", {}, body=BUNDLE)
    judged = judge_bundle(decision, view, snapshot)
    assert judged.outcome is Reason.INTERNAL_FAULT
    assert judged.detail == "no policy for bundles is set"
    assert not judged.allowed
