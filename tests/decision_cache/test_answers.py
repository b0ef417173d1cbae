"""Payloads: what the module would do with one is what the answer beside it does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.encoding.repeatable import metadata_opening
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.response_cache import AllowedCheck
from sidecar.authz.snapshot import compile_routes
from sidecar.config import parse_config
from sidecar.decision_cache.answers import LeasedAnswers
from sidecar.decision_cache.control import CommonArea, make_control
from sidecar.decision_cache.credits import CreditSlots, KnownSlots, WithoutLimits
from sidecar.decision_cache.protocol import COMMON_BYTES, MAX_PAYLOAD, NO_CREDIT, PAYLOAD_KEY
from sidecar.decision_cache.route_rows import scopes_of
from sidecar.observability.audit import AuditLog
from sidecar.observability.counters import Counters
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG as BASE
from tests.authz.conftest import Bench
from tests.support.minting import NOW, TENANT, Issuer
from tests.support.module_peer import Repeated, common_at, read_payload

CONFIG = BASE.replace(
    "headers:\n",
    """\
  - {name: admin, path_prefix: /admin, roles: [admin]}
  - {name: cookie, path_prefix: /cookie, token_from: ["cookie:session"]}
  - {name: mesh, path_prefix: /mesh, clients: ["spiffe://example/web"]}
  - {name: shadow, path_prefix: /shadow, shadow: true}
  - {name: nonce, path_prefix: /nonce, nonce: no-store, csp: document}
  - {name: stream, path_prefix: /stream, end_streams_with_token: true}
  - {name: shared, path_prefix: /shared, cors: pages}
  - {name: anybody, path_prefix: /anybody, cors: anybody}
headers:
  csp:
    document: {enforced: [{default-src: ["'self'"], script-src: ["'nonce-{nonce}'"]}]}
  cors:
    pages: {origins: ["https://page.example"], credentials: true}
    anybody: {origins: ["*"]}
""",
)
ISSUER = Issuer.generate()
ROUTES = compile_routes(parse_config(CONFIG, "test"))
SECRET = b"0123456789abcdef0123456789abcdef"
FILLS = {
    "T": "2026-01-31T12:34:56.789+00:00", "I": "0" * 20, "M": "GET", "H": "app.example",
    "P": "/api", "S": "203.0.113.7", "U": "5", "R": ',"request_id":"0d1c6c3a-0000"',
}  # fmt: skip


class Leased(Bench):
    """A service whose answers carry payloads."""

    def __init__(self, worker: int = 0, slots: CreditSlots | None = None) -> None:
        super().__init__(ISSUER, config=CONFIG, cache=TokenCache(100))
        self.scopes = scopes_of(ROUTES)
        self.control = make_control(worker + 1, 1, 0)
        self.area = CommonArea(self.control, worker)
        self.answers = LeasedAnswers(
            SECRET, worker, self.scopes, slots or WithoutLimits(), self.area.place
        )
        self.answers.begin_epoch(7)
        self.answers.held = True
        self.service.repeatable = self.answers

    def payload(self, token: bytes, **changes: Any) -> tuple[pb.CheckResponse, bytes]:
        """Ask, and return the answer without its payload, and the whole payload."""
        response, payload = self.as_sent(token, **changes)
        return response, self.whole(payload)

    def as_sent(self, token: bytes, **changes: Any) -> tuple[pb.CheckResponse, bytes]:
        """Ask, and return the answer without its payload, and the payload as it is sent."""
        headers = {"authorization": f"Bearer {token.decode()}", **changes.pop("headers", {})}
        host = changes.pop("host", "app.example")
        raw = self.handle(check_request(host=host, headers=headers, **changes))
        response = pb.CheckResponse.FromString(raw)
        fields = response.dynamic_metadata.fields
        payload = fields[PAYLOAD_KEY].string_value.encode() if PAYLOAD_KEY in fields else b""
        fields.pop(PAYLOAD_KEY, None)
        return response, payload

    def whole(self, payload: bytes) -> bytes:
        """Return a payload with its common part, from wherever it stands."""
        if not payload:
            return payload
        head, common, own = payload.split(b"\x1d")
        common = common_at(self.control, int(head.split(b"\x1f")[2]), common)
        return b"\x1d".join((head, common, own))


def same(response: pb.CheckResponse, repeated: Repeated) -> None:
    ok = response.ok_response
    assert {o.header.key: o.header.value.decode() for o in ok.headers} == repeated.set_headers
    assert set(ok.headers_to_remove) == repeated.removed
    assert [
        (o.append_action, o.header.key, o.header.value.decode()) for o in ok.response_headers_to_add
    ] == repeated.response_headers
    fields = {key: each.string_value for key, each in response.dynamic_metadata.fields.items()}
    assert fields.pop("decision_id"), "the module makes one of its own"
    assert fields == repeated.metadata


@pytest.mark.parametrize("path", ["/api/x", "/either", "/kept", "/shell", "/admin", "/anybody"])
def test_a_payload_does_what_its_answer_does(path: str) -> None:
    leased, token = Leased(), ISSUER.mint()
    for _ in range(2):  # the slow path's answer, then the fast path's
        response, payload = leased.payload(token, path=path)
        repeated = read_payload(payload, **FILLS)
        same(response, repeated)
        route = repeated.metadata["route"]
        assert repeated.head == [
            "1", SECRET.decode(), "0", "7", str(int(NOW - 40) * 1000),
            str(int(NOW + 630) * 1000), str(leased.scopes[route]), str(NO_CREDIT),
        ]  # fmt: skip


def test_a_tenant_without_a_slot_is_asked_for_until_it_has_one() -> None:
    slots = KnownSlots()
    leased, token = Leased(slots=slots), ISSUER.mint()
    for _ in range(2):
        response, payload = leased.payload(token)
        assert (response.status.code, payload) == (0, b"")
    slots.learn({TENANT: 9})
    assert read_payload(leased.payload(token)[1], **FILLS).head[-1] == "9"


SHARED = Leased()
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@given(
    sub=WORDS,
    jti=WORDS,
    roles=st.lists(st.text("abcxyz:.-", min_size=1, max_size=12), max_size=4, unique=True),
    note=st.sampled_from([None, "a@b.example"]),
)
def test_any_token_is_repeated_as_it_is_answered(
    sub: str, jti: str, roles: list[str], note: str | None
) -> None:
    leased = SHARED
    token = ISSUER.mint(sub=sub, jti=jti, roles=roles or None, note=note)
    response, payload = leased.payload(token, path="/api")
    if response.status.code or not payload:
        return  # a subject that looks like personal data; a text that can't stand in a payload
    same(response, read_payload(payload, **FILLS))


class Kept:
    """A sink that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def recorded(check: AllowedCheck) -> dict[str, Any]:
    """Return the line that the recorder writes of a Check."""
    sink = Kept()
    audit = AuditLog(sink, queue_lines=16, on_error=lambda exc: pytest.fail(repr(exc)))
    recorder = DecisionRecorder(Counters(), audit, lambda *_: None)
    recorder.allowed_fast(check)
    recorder.drain()
    assert audit.close(10)
    assert audit.settled == audit.lines_in == 1
    line: dict[str, Any] = json.loads(sink.written)
    return line


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": 'quo"ted\\'},
        {"jti": "eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ.sig"},
        {"note": "a@b.example"},
        {"roles": None},
    ],
    ids=["plain", "escaped", "masked", "warned of", "no roles"],
)
def test_the_audit_line_is_the_recorders(claims: dict[str, Any]) -> None:
    leased = Leased()
    _, payload = leased.payload(ISSUER.mint(**claims), path="/api")
    (check,) = leased.allowed_checks
    check[3].source.principal = ""  # who has a client certificate is asked for
    check[3].request.http.headers["x-request-id"] = b"0d1c6c3a-0000"
    written = recorded(check)
    own = {"T": written["time"], "U": str(written["latency_us"]), "I": written["decision_id"]}
    line = read_payload(payload, **{**FILLS, **own}).line
    assert line == written
    assert list(line) == list(written)


NEVER: dict[str, dict[str, Any]] = {
    "no token is read": {"path": "/public"},
    "a client certificate": {"path": "/mesh"},
    "shadow mode": {"path": "/shadow"},
    "a nonce": {"path": "/nonce"},
    "the stream's end": {"path": "/stream"},
    "one page's origin": {"path": "/shared", "headers": {"origin": "https://page.example"}},
    "cookies, where a route reads one": {"path": "/api", "headers": {"cookie": "a=b"}},
    "a refusal": {"path": "/nowhere"},
    "preflight's method": {"path": "/api", "method": "OPTIONS"},
}


@pytest.mark.parametrize("kind", NEVER)
def test_what_is_never_repeated_has_no_payload(kind: str) -> None:
    leased = Leased()
    for _ in range(2):
        assert leased.payload(ISSUER.mint(), **NEVER[kind])[1] == b""


def test_the_same_route_without_an_origin_is_repeated() -> None:
    leased = Leased()
    assert leased.payload(ISSUER.mint(), path="/shared")[1]


def test_without_a_lease_answers_are_as_without_a_cache() -> None:
    leased, token = Leased(), ISSUER.mint()
    leased.answers.held = False
    bare = Bench(ISSUER, config=CONFIG, cache=TokenCache(100))
    raw = check_request(
        path="/api", host="app.example", headers={"authorization": f"Bearer {token.decode()}"}
    )
    for _ in range(2):
        assert leased.handle(raw) == bare.handle(raw)
    leased.answers.held = True
    assert leased.handle(raw).startswith(bare.handle(raw))
    assert len(leased.handle(raw)) > len(bare.handle(raw))


def test_an_answer_has_the_epoch_and_the_process_it_was_decided_under() -> None:
    leased, token = Leased(worker=3), ISSUER.mint()
    assert read_payload(leased.payload(token, path="/api")[1], **FILLS).head[2:4] == ["3", "7"]
    leased.answers.begin_epoch(8)
    assert read_payload(leased.payload(token, path="/api")[1], **FILLS).head[2:4] == ["3", "8"]


def test_a_common_part_is_sent_whole_where_there_is_no_space_for_it() -> None:
    leased, token = Leased(), ISSUER.mint()
    assert len(leased.as_sent(token, path="/api")[1]) < 400
    leased.answers.begin_epoch(8)
    leased.area.clear()
    leased.area.place(b"x" * COMMON_BYTES)
    whole = leased.as_sent(token, path="/api")[1]
    assert len(whole) > 1000
    assert whole == leased.whole(whole)
    leased.area.clear()
    leased.answers.begin_epoch(9)
    assert leased.as_sent(token, path="/api")[1].split(b"\x1d")[1].startswith(b"@0\x1f")


def test_two_hosts_are_two_answers() -> None:
    """One scope: so the module remembers the host beside it."""
    leased, token = Leased(), ISSUER.mint()
    own, other = (
        leased.payload(token, path="/shell", host=host)[1]
        for host in ("shop.acme.example", "b.example")
    )
    assert own
    assert other
    stranger = ISSUER.mint(tenantId="0f0f0f0f-0000-4000-8000-000000000000", jti="other")
    assert leased.payload(stranger, path="/shell", host="b.example")[1]
    refused, payload = leased.payload(stranger, path="/shell", host="shop.acme.example")
    assert (refused.status.code, payload) == (7, b"")


def test_what_is_too_long_is_not_sent() -> None:
    leased = Leased()
    roles = [f"role-{number:04}-{'x' * 40}" for number in range(60)]
    response, payload = leased.payload(ISSUER.mint(roles=roles), path="/api")
    assert response.status.code == 0
    assert len(payload) <= MAX_PAYLOAD
    many = [f"role-{number:04}-{'x' * 50}" for number in range(120)]
    response, payload = leased.payload(ISSUER.mint(roles=many, jti="more"), path="/api")
    assert (response.status.code, payload) in {(0, b""), (7, b"")}


def test_the_field_is_merged_into_the_metadata() -> None:
    response = pb.CheckResponse()
    response.dynamic_metadata.fields["reason"].string_value = "x"
    value = b"v" * 5000
    added = metadata_opening(b"k", len(value)) + value
    merged = pb.CheckResponse.FromString(response.SerializeToString() + added)
    fields = {key: each.string_value for key, each in merged.dynamic_metadata.fields.items()}
    assert fields == {"reason": "x", "k": value.decode()}
