"""The fast path to an answer: it changes what a Check costs, and nothing else."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.authz import evaluate, response_cache
from sidecar.authz.encoding.allowed import own_fields
from sidecar.authz.encoding.varint import varint
from sidecar.authz.ports import Outcome
from sidecar.authz.response_cache import AllowedCheck
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.canonical import canonical_path
from sidecar.config import parse_config
from sidecar.headers.tenant import tenant_headers
from sidecar.keys.lifecycle import KeyState
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.claims import Claims
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.revocation import Revocations, read_revocations
from sidecar.tokens.verifier import verify_token
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import CONFIG as BASE
from tests.authz.counted import counted_service
from tests.support.ids import one_id
from tests.support.minting import NOW, TENANT, Issuer

CONFIG = BASE.replace(
    "headers:\n",
    """\
  - {name: admin, path_prefix: /admin, roles: [admin], scopes: [orders.read]}
  - {name: acme, path_prefix: /acme, tenant: 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11}
  - {name: cookie, path_prefix: /cookie, token_from: ["cookie:session"]}
  - {name: mesh, path_prefix: /mesh, auth: none, clients: ["spiffe://example/web"]}
  - {name: shadow, path_prefix: /shadow, shadow: true}
headers:
""",
)
OTHER_TENANT = "0f0f0f0f-0000-4000-8000-000000000000"
ISSUER, OTHER = Issuer.generate(), Issuer.generate(kid="key-2")
SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), KeyRing([ISSUER.key, OTHER.key]))


class Witness:
    """A service, and which path gave each of its answers."""

    def __init__(self, entries: int = 1000) -> None:
        self.now = NOW
        self.outcomes: list[Outcome] = []
        self.allowed_checks: list[AllowedCheck] = []
        self.service, self.slow = counted_service(
            SNAPSHOT,
            now=lambda: self.now,
            elapsed_ns=lambda: 0,
            new_id=one_id,
            observer=self,
            on_fault=lambda exc: pytest.fail(repr(exc)),
            cache=TokenCache(entries),
        )

    def decided(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        self.allowed_checks.append(allowed_check)

    def ask(self, raw: bytes) -> bytes:
        answer = self.service.handle(raw)
        assert isinstance(answer, bytes)
        return answer

    def paths(self, *requests: bytes) -> str:
        """Return which path each request takes: F(ast) or S(low)."""
        paths = ""
        for raw in requests:
            before = self.slow()
            self.ask(raw)
            paths += "S" if self.slow() > before else "F"
        return paths


def request(token: bytes | None = None, path: str = "/api/x", host: str = "app.example") -> bytes:
    headers = {} if token is None else {"authorization": f"Bearer {token.decode()}"}
    return check_request(path=path, host=host, headers=headers)


def test_the_second_time_is_the_fast_path() -> None:
    witness, one, two = Witness(), ISSUER.mint(jti="one"), ISSUER.mint(jti="two")
    assert witness.paths(*[request(one)] * 3) == "SFF"
    assert witness.paths(request(two), request(two)) == "SF", "another token is verified once"
    assert witness.paths(request(one, "/api/y?q=1"), request(one, "/api/y?q=2")) == "SF"
    assert witness.paths(request(one, "/shell"), request(two, "/shell")) == "SF", (
        "with an equal principal key"
    )
    assert witness.paths(*[request(path="/public/x")] * 2, *[request(path="/either")] * 2) == "SFSF"
    assert len(witness.outcomes) + len(witness.allowed_checks) == 13


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/nowhere", {}),
        ("/api/x", {}),
        ("/api/x", {"authorization": "Bearer rubbish"}),
        ("/api/../x", {}),
        ("/mesh", {}),
        ("/shadow", {}),
        ("/shadow", {"authorization": f"Bearer {ISSUER.mint().decode()}"}),
        ("/cookie", {"cookie": f"session={ISSUER.mint().decode()}"}),
    ],
)
def test_what_always_goes_the_slow_path(path: str, headers: dict[str, str]) -> None:
    raw = check_request(path=path, host="app.example", headers=headers)
    assert Witness().paths(raw, raw, raw) == "SSS"


def test_raw_headers_go_the_slow_path_even_where_the_target_is_known() -> None:
    witness, token = Witness(), ISSUER.mint()
    witness.paths(request(token))
    bearer = ("authorization", b"Bearer " + token)
    twice = check_request(path="/api/x", host="app.example", raw_headers=[bearer, bearer])
    assert witness.paths(twice) == "S"
    assert read_answer(witness.ask(twice)).status == 400


def test_the_slow_path_matches_and_verifies_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            counted.append(name)
            return function(*arguments, **named)

        return run

    monkeypatch.setattr(evaluate, "verify_token", counting("verify", verify_token))
    monkeypatch.setattr(evaluate, "canonical_path", counting("path", canonical_path))
    witness, token = Witness(), ISSUER.mint(jti="in a cookie".replace(" ", "-")).decode()
    raw = check_request(path="/cookie", host="app.example", headers={"cookie": f"session={token}"})
    assert witness.paths(raw, raw, raw) == "SSS"
    assert counted == ["path", "verify"]


@pytest.mark.parametrize("changes", [{"method": ""}, {"host": "a b"}, {"path": "/a/../b"}])
def test_what_could_not_be_read_is_empty_in_the_record(changes: dict[str, Any]) -> None:
    witness = Witness()
    witness.ask(check_request(**{"host": "app.example", "path": "/api", **changes}))
    decision = witness.outcomes[-1].decision
    read = [decision.method, decision.host, decision.path]
    unread = ["method", "host", "path"].index(next(iter(changes)))
    assert read[:unread] == ["GET", "app.example", "/api"][:unread]
    assert read[unread:] == [""] * (3 - unread)
    assert (decision.token_digest, decision.csp, decision.route) == ("", "", "unmatched")


CHANGES: dict[str, Callable[[], dict[str, object]]] = {
    "the key has gone": lambda: {"ring": OTHER.ring},
    "no key is left": lambda: {"ring": EMPTY_RING},
    "another key has its kid": lambda: {"ring": Issuer.generate(kid=ISSUER.kid).ring},
    "the tenant is revoked": lambda: {
        "revocations": Revocations(
            read_revocations({"tenants": [{"tenant": TENANT, "issued_before": NOW}]}), NOW, 930
        )
    },
    "degraded, and that refuses": lambda: {
        "key_state": KeyState.DEGRADED, "refuse_degraded": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_snapshot_is_asked_at_once(change: str) -> None:
    witness, raw = Witness(), request(ISSUER.mint())
    assert witness.paths(raw, raw) == "SF"
    witness.service.snapshot = msgspec.structs.replace(SNAPSHOT, **CHANGES[change]())
    assert pb.CheckResponse.FromString(witness.ask(raw)).status.code == 7
    witness.service.snapshot = SNAPSHOT
    assert witness.paths(raw, raw) == "SF"


def test_a_new_state_of_the_keys_is_in_the_answer() -> None:
    witness, raw = Witness(), request(ISSUER.mint())
    witness.paths(raw, raw)
    witness.service.snapshot = msgspec.structs.replace(SNAPSHOT, key_state=KeyState.OUTAGE)
    for _ in range(2):
        assert read_answer(witness.ask(raw)).metadata["key_state"] == "outage"


def test_the_clock_is_asked_each_time() -> None:
    witness = Witness()
    raw = request(ISSUER.mint(iat=NOW, nbf=NOW, exp=NOW + 10))
    assert witness.paths(raw, raw) == "SF"
    witness.now = NOW + 39.999
    assert read_answer(witness.ask(raw)).allowed
    witness.now = NOW + 40
    assert read_answer(witness.ask(raw)).metadata["reason"] == "token_expired"
    witness.now = NOW - 31
    assert read_answer(witness.ask(raw)).metadata["reason"] == "token_not_yet_valid"


def test_one_tenants_answers_are_not_another_tenants() -> None:
    """Same route scope, same lengths: the principal key distinguishes them."""
    witness, mine = Witness(), ISSUER.mint(roles=["admin"], scope="orders.read")
    theirs = ISSUER.mint(tenantId=OTHER_TENANT, roles=["admin"], scope="orders.read")
    assert read_answer(witness.ask(request(mine, "/acme"))).allowed
    assert read_answer(witness.ask(request(mine, "/shell"))).allowed
    assert read_answer(witness.ask(request(theirs, "/shell"))).set_headers["x-tenant-id"] == (
        OTHER_TENANT
    )
    for _ in range(2):
        assert read_answer(witness.ask(request(theirs, "/acme"))).status == 403
        assert read_answer(witness.ask(request(mine, "/acme"))).allowed
    for lesser in (ISSUER.mint(roles=["guest"], scope="orders.read"), ISSUER.mint(roles=["admin"])):
        assert read_answer(witness.ask(request(mine, "/admin"))).allowed
        for _ in range(2):
            assert read_answer(witness.ask(request(lesser, "/admin"))).status == 403


def test_every_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TARGETS", "MAX_TEMPLATES", "MAX_PRINCIPAL_KEYS"):
        monkeypatch.setattr(response_cache, name, 8)
    witness = Witness()
    for number in range(100):
        token = ISSUER.mint(sub="u" * (number % 20 + 1), jti=f"j{number}")
        raw = request(token, f"/api/{number}", f"h{number}.example")
        assert witness.ask(raw) == witness.ask(raw)
    tables = witness.service._response_cache
    assert len(tables.targets) <= 8
    assert len(tables._principal_keys) <= 8
    assert sum(len(route_scope.answers) for route_scope in tables._scopes.values()) <= 8


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152])
def test_lengths_are_encoded_as_protobuf_encodes_them(length: int) -> None:
    message = pb.HeaderValue(value=b"x" * length).SerializeToString()
    assert message == (b"\x12" + varint(length) + b"x" * length if length else b"")


VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)


@given(VISIBLE, VISIBLE, st.lists(VISIBLE.filter(lambda role: "," not in role), max_size=3))
def test_a_tokens_own_runs_are_protobufs_own(subject: str, token_id: str, roles: list[str]) -> None:
    claims = Claims("iss", subject, ("aud",), token_id, TENANT, 0.0, 0.0, 0.0, tuple(roles))
    response = pb.CheckResponse()
    for name, value in tenant_headers(claims).items():
        option = response.ok_response.headers.add(append_action=2)
        option.header.key, option.header.value = name, value.encode("ascii")
    response.dynamic_metadata.fields["tenant"].string_value = TENANT
    assert own_fields(claims) == (
        response.ok_response.SerializeToString(),
        response.dynamic_metadata.SerializeToString(),
    )


@pytest.mark.parametrize("length", [*range(100, 140), 255, 256, 4000, 16_384])
def test_a_value_of_any_length_is_protobufs_own(length: int) -> None:
    """Around where a length takes a second byte, and a third."""
    claims = Claims("iss", "s" * length, ("aud",), "j", TENANT, 0.0, 0.0, 0.0)
    response = pb.CheckResponse()
    for name, value in tenant_headers(claims).items():
        option = response.ok_response.headers.add(append_action=2)
        option.header.key, option.header.value = name, value.encode("ascii")
    assert own_fields(claims)[0] == response.ok_response.SerializeToString()


PATHS = st.sampled_from(
    ["/api/x", "/api/x?a", "/either", "/public/x", "/shell", "/admin", "/acme", "/nowhere",
     "/shadow/x", "/a/../b"]
)  # fmt: skip
HOSTS = st.sampled_from(["app.example", "shop.acme.example", "bad host"])
TOKENS = st.sampled_from(
    [
        None,
        ISSUER.mint(),
        OTHER.mint(roles=None),
        ISSUER.mint(tenantId=OTHER_TENANT),
        ISSUER.mint(roles=["admin"], scope="orders.read"),
        ISSUER.mint(exp=NOW + 5),
        Issuer.generate().mint(),
        b"rubbish",
    ]
)
LATER = st.sampled_from([0.0, 20.0, 60.0, -400.0])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TOKENS, PATHS, HOSTS, LATER), max_size=20), st.integers(0, 3))
def test_with_and_without_cache_the_answers_are_the_same(
    steps: list[tuple[bytes | None, str, str, float]], entries: int
) -> None:
    old = Witness(entries)
    for token, path, host, later in steps:
        fresh = Witness()
        old.now = fresh.now = NOW + later
        raw = request(token, path, host)
        assert old.ask(raw) == fresh.ask(raw)
