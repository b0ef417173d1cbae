"""A request is put together again with its credential where it was, and as long as it was."""

import msgspec
import pytest

from sidecar.authz.decision import RequestView
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.replay.known import known_of
from sidecar.replay.request import view_of
from tests.replay.lines import INPUTS, line


def view(
    reason: str = "token_verified", inputs: RecordedInputs = INPUTS, detail: str = ""
) -> RequestView:
    made = line(reason=reason, inputs=inputs, detail=detail)
    known = known_of(made)
    assert known is not None
    return view_of(made, known)


def at(place: str, **changes: object) -> RecordedInputs:
    return msgspec.structs.replace(INPUTS, place=place, size=3, **changes)


PLACES = {
    "header": (at(""), {"authorization": b"Bearer xxx"}),
    "dpop": (at("", dpop="abc"), {"authorization": b"DPoP xxx"}),
    "cookie": (at("cookie:session"), {"cookie": b"session=xxx"}),
    "websocket": (at("websocket"), {"sec-websocket-protocol": b"bearer.xxx"}),
}


@pytest.mark.parametrize("what", PLACES)
def test_a_token_is_where_it_was(what: str) -> None:
    inputs, headers = PLACES[what]
    assert view(inputs=inputs).headers == headers


def test_a_size_that_no_token_has_is_bounded() -> None:
    for size in (10**12, -5):
        headers = view(inputs=msgspec.structs.replace(INPUTS, size=size)).headers
        assert len(headers["authorization"]) < 80_000


def test_what_had_no_credential_has_none() -> None:
    for reason in ("anonymous", "token_missing", "public", "route_unknown"):
        assert view(reason, NO_INPUTS).headers == {}
    assert view("token_verified", NO_INPUTS).headers == {}, "where it was is not known"


def test_another_scheme_is_one() -> None:
    scheme = "token_scheme_unsupported"
    assert view(scheme, NO_INPUTS).headers == {"authorization": b"Basic x"}
    detail = "the scheme is DPoP, which the route does not take (routes[].binding)"
    assert view(scheme, NO_INPUTS, detail).headers == {"authorization": b"DPoP x"}


def test_a_token_in_the_query_is_there_again() -> None:
    in_query = RecordedInputs(in_query=True)
    assert view("token_missing", in_query).path == b"/api/x?access_token=x"
    detail = "no credential in header; the query has one, but tokens in the query are never read"
    assert view("token_missing", NO_INPUTS, detail).path.endswith(b"?access_token=x")
    assert view("token_missing", NO_INPUTS).path == b"/api/x"


def test_a_preflight_has_its_origin() -> None:
    inputs = RecordedInputs(origin="https://page.example", announced="PUT")
    assert view("preflight", inputs).headers == {
        "origin": b"https://page.example",
        "access-control-request-method": b"PUT",
    }
