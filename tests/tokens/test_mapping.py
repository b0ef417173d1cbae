"""Each place of a mapping, on both sides of each of its bounds."""

from collections.abc import Callable
from typing import Any

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claim_path import parse_claim_path
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.mapping import (
    MAX_LISTED_NAMES,
    MAX_NAMES,
    ClaimsMapping,
    NamesPlace,
    TableSource,
    TenantPlace,
    read_names,
)
from tests.support.minting import TENANT

PATH = parse_claim_path("x.y")
OTHER = "8e1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
MISSING, MALFORMED, UNKNOWN = Reason.CLAIM_MISSING, Reason.CLAIM_MALFORMED, Reason.TENANT_UNKNOWN


def denied(read: Callable[[], object]) -> Denied:
    with pytest.raises(Denied) as caught:
        read()
    return caught.value


TABLE = {"acme": TENANT, TENANT: OTHER}
SOURCE = TableSource("https://iam.example", "secret", "iam/tenants")
TENANTS: list[tuple[str, dict[str, Any], Any, str | Reason]] = [
    ("a tenant id", {}, TENANT, TENANT),
    ("a tenant id in capitals", {}, TENANT.upper(), TENANT),
    ("a word without a table", {}, "acme", MALFORMED),
    ("a UUID and a line feed", {}, TENANT + "\n", MALFORMED),
    ("a number", {}, 7, MALFORMED),
    ("nothing", {}, None, MISSING),
    ("an empty text", {}, "", MALFORMED),
    ("a text too long", {}, "a" * 513, MALFORMED),
    ("a word of the table", {"table": TABLE}, "acme", TENANT),
    ("another word", {"table": TABLE}, "evil", UNKNOWN),
    ("a word in other letters", {"table": TABLE}, "ACME", UNKNOWN),
    ("a tenant id is no word", {"table": {"acme": TENANT}}, TENANT, UNKNOWN),
    ("a tenant id that is a word", {"table": TABLE}, TENANT, OTHER),
    ("a list of one", {"type": "list", "table": TABLE}, ["acme"], TENANT),
    ("a list of two", {"type": "list", "table": TABLE}, ["acme", "acme"], MALFORMED),
    ("a list of none", {"type": "list", "table": TABLE}, [], MALFORMED),
    ("a list of lists", {"type": "list", "table": TABLE}, [["acme"]], MALFORMED),
    ("a text that should be a list", {"type": "list", "table": TABLE}, "acme", MALFORMED),
    ("an object of one", {"type": "keys", "table": TABLE}, {"acme": {}}, TENANT),
    ("an object of two", {"type": "keys", "table": TABLE}, {"acme": 1, "b": 1}, MALFORMED),
    ("a list that should be an object", {"type": "keys", "table": TABLE}, ["acme"], MALFORMED),
    ("an object that should be a text", {"table": TABLE}, {"acme": {}}, MALFORMED),
    ("a table that was not read", {"source": SOURCE}, "acme", UNKNOWN),
    ("a tenant id, and no table yet", {"source": SOURCE}, TENANT, UNKNOWN),
    ("a table without a word", {"source": SOURCE, "table": {}}, TENANT, UNKNOWN),
    ("a table that was read", {"source": SOURCE, "table": TABLE}, "acme", TENANT),
    ("fixed, whatever it says", {"fixed": OTHER}, "acme", OTHER),
    ("fixed, and nothing said", {"fixed": OTHER}, None, OTHER),
]


@pytest.mark.parametrize(
    ("settings", "value", "expected"), [t[1:] for t in TENANTS], ids=[t[0] for t in TENANTS]
)
def test_the_tenant(settings: dict[str, Any], value: Any, expected: str | Reason) -> None:
    place = TenantPlace(PATH, **settings)
    payload = {"x": {"y": value}}
    if isinstance(expected, Reason):
        refusal = denied(lambda: place.read(payload))
        assert refusal.reason is expected
        assert "'x.y'" in refusal.detail
        assert "evil" not in refusal.detail
    else:
        assert place.read(payload) == expected


NAMES: list[tuple[str, dict[str, Any], Any, tuple[str, ...] | Reason]] = [
    ("a list", {}, ["a", "b"], ("a", "b")),
    ("an empty list", {}, [], ()),
    ("a list with a number", {}, ["a", 1], MALFORMED),
    ("a list with an object", {}, [{}], MALFORMED),
    ("a text that should be a list", {}, "a", MALFORMED),
    ("an object that should be a list", {}, {"a": 1}, MALFORMED),
    ("a comma", {}, ["a,b"], MALFORMED),
    ("a space", {}, ["a b"], MALFORMED),
    ("an empty name", {}, [""], MALFORMED),
    ("beyond ASCII", {}, ["\u00e9"], MALFORMED),
    ("as many as may be", {}, ["r"] * MAX_NAMES, ("r",) * MAX_NAMES),
    ("one more", {}, ["r"] * (MAX_NAMES + 1), MALFORMED),
    ("nothing", {}, None, MISSING),
    ("nothing, where that may be", {"optional": True}, None, ()),
    ("the wrong type, where nothing may be", {"optional": True}, 7, MALFORMED),
    ("keys", {"type": "keys"}, {"a": {"1": "x"}, "b": 0}, ("a", "b")),
    ("a list that should be keys", {"type": "keys"}, ["a"], MALFORMED),
    ("spaces", {"type": "spaces"}, "a b", ("a", "b")),
    ("spaces, empty", {"type": "spaces"}, "", ()),
    ("two spaces", {"type": "spaces"}, "a  b", MALFORMED),
    ("a list that should be spaces", {"type": "spaces"}, ["a"], MALFORMED),
    ("one name", {"type": "string"}, "a", ("a",)),
    ("one name of two words", {"type": "string"}, "a b", MALFORMED),
    ("a prefix", {"prefix": "api:"}, ["api:r", "web:r"], ("api:r",)),
    ("a prefix, stripped", {"prefix": "api:", "strip_prefix": True}, ["api:r", "web:r"], ("r",)),
    ("a prefix alone, stripped", {"prefix": "api:", "strip_prefix": True}, ["api:"], MALFORMED),
    ("a prefix of none", {"prefix": "api:"}, ["web:r"], ()),
    ("others' names are not looked at", {"prefix": "api:"}, ["a, b", "api:r"], ("api:r",)),
    ("more of others", {"prefix": "api:"}, ["x"] * MAX_LISTED_NAMES, ()),
    ("too many of others", {"prefix": "api:"}, ["x"] * (MAX_LISTED_NAMES + 1), MALFORMED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "value", "expected"), [n[1:] for n in NAMES], ids=[n[0] for n in NAMES]
)
def test_names(settings: dict[str, Any], value: Any, expected: tuple[str, ...] | Reason) -> None:
    place = NamesPlace(PATH, **settings)
    payload = {"x": {"y": value}}
    if isinstance(expected, Reason):
        refusal = denied(lambda: place.read(payload))
        assert refusal.reason is expected
        assert "'x.y'" in refusal.detail
    else:
        assert place.read(payload) == expected


def test_names_of_several_places_are_joined_each_once() -> None:
    places = tuple(NamesPlace(parse_claim_path(name), optional=True) for name in ("a", "b"))
    assert read_names(places, {"a": ["1", "2"], "b": ["2", "3"]}) == ("1", "2", "3")
    assert read_names(places, {}) == ()
    assert read_names((), {"a": ["1"]}) == ()
    many = {"a": [f"a{n}" for n in range(40)], "b": [f"b{n}" for n in range(40)]}
    refusal = denied(lambda: read_names(places, many))
    assert (refusal.reason, "'a', 'b'" in refusal.detail) == (MALFORMED, True)


def mapping(client: str | None) -> ClaimsMapping:
    return ClaimsMapping(
        tenant=MODEL_MAPPING.tenant,
        user=parse_claim_path("oid"),
        token_id=parse_claim_path("uti"),
        client=None if client is None else parse_claim_path(client),
        roles=(),
        scopes=(),
    )


USERS: list[tuple[str, dict[str, Any], bool, str | None, str | Reason]] = [
    ("a user", {"oid": "u"}, True, None, "u"),
    ("a user that may be absent", {"oid": "u", "azp": "c"}, False, "azp", "u"),
    ("none", {"sub": "u", "azp": "c"}, True, "azp", MISSING),
    ("a client instead", {"azp": "c"}, False, "azp", "client:c"),
    ("neither", {}, False, "azp", MISSING),
    ("no place for a client", {}, False, None, MISSING),
    ("a client that is no text", {"azp": 1}, False, "azp", MALFORMED),
    ("a user who would be a client", {"oid": "client:c"}, False, "azp", MALFORMED),
    ("a user of that name, where clients have none", {"oid": "client:c"}, True, None, "client:c"),
    ("a user that would end its header", {"oid": "a\r\nx: y"}, True, None, MALFORMED),
    ("an empty user is none that is absent", {"oid": "", "azp": "c"}, False, "azp", MALFORMED),
]


@pytest.mark.parametrize(
    ("payload", "required", "client", "expected"), [u[1:] for u in USERS], ids=[u[0] for u in USERS]
)
def test_the_user(
    payload: dict[str, Any], required: bool, client: str | None, expected: str | Reason
) -> None:
    place = mapping(client)
    if isinstance(expected, Reason):
        assert denied(lambda: place.read_user(payload, required=required)).reason is expected
    else:
        assert place.read_user(payload, required=required) == expected


def test_the_token_id() -> None:
    place = mapping(None)
    assert place.read_token_id({"uti": "t"}, required=True) == "t"
    assert place.read_token_id({"jti": "t"}, required=False) == ""
    assert denied(lambda: place.read_token_id({"jti": "t"}, required=True)).reason is MISSING


@pytest.mark.parametrize("wrong", [1, "", "a b", []])
def test_a_token_id_of_another_form_is_refused_though_none_is_required(wrong: Any) -> None:
    place = mapping(None)
    refusal = denied(lambda: place.read_token_id({"uti": wrong}, required=False))
    assert refusal.reason is MALFORMED
