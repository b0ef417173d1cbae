"""One revocation more: what is there stays, in the form that it has."""

from typing import Any

import pytest

from sidecar.tokens.revocation import read_revocations
from sidecar.tokens.revocation_edit import MAX_LISTED, NewRevocation, RevokedKid, add_revocation
from sidecar.tokens.revocation_entry import (
    RevocationFault,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
)

ISS = "https://iam.example"
TOKEN = RevokedToken(ISS, "t1", 100.0)
LISTED = {"iss": ISS, "jti": "t1", "exp": 100.0}
OLD = {"iss": ISS, "jti": "t0", "exp": 50}
SUBJECT = RevokedSubject(ISS, "alice", 100.0)
MARK = {"iss": ISS, "sub": "alice", "issued_before": 100.0}
TENANT = RevokedTenant("ABC", 100.0)
OWN = {"tenant": "ABC", "issued_before": 100.0}
Data = dict[str, Any]
ROWS: list[tuple[str, Data, NewRevocation, Data | None]] = [
    ("a key in an empty entry", {}, RevokedKid("k1"), {"kids": ["k1"]}),
    ("a key more", {"kids": ["k0"], "tokens": [OLD]}, RevokedKid("k1"),
     {"kids": ["k0", "k1"], "tokens": [OLD]}),
    ("a key that is there", {"kids": ["k1"]}, RevokedKid("k1"), None),
    ("a token in an empty entry", {}, TOKEN, {"tokens": [LISTED]}),
    ("a token more", {"tokens": [OLD], "kids": ["k"]}, TOKEN,
     {"tokens": [OLD, LISTED], "kids": ["k"]}),
    ("a token that is there", {"tokens": [LISTED]}, TOKEN, None),
    ("a token that is there until earlier", {"tokens": [{**LISTED, "exp": 99}]}, TOKEN,
     {"tokens": [{**LISTED, "exp": 99}, LISTED]}),
    ("another issuer's", {"tokens": [{**LISTED, "iss": "other"}]}, TOKEN,
     {"tokens": [{**LISTED, "iss": "other"}, LISTED]}),
    ("a text of tokens", {"tokens": f"{ISS} t0 50\n"}, TOKEN,
     {"tokens": f"{ISS} t0 50\n{ISS} t1 100"}),
    ("a text with one issuer", {"iss": ISS, "tokens": "t0 50"}, TOKEN,
     {"iss": ISS, "tokens": f"t0 50\n{ISS} t1 100"}),
    ("a text that has it", {"iss": ISS, "tokens": "t1 100"}, TOKEN, None),
    ("a text, and a fraction of a second", {"tokens": f"{ISS} t0 50"},
     RevokedToken(ISS, "t1", 100.5), {"tokens": f"{ISS} t0 50\n{ISS} t1 101"}),
    ("a list that becomes a text",
     {"tokens": [{**OLD, "jti": f"t{n}"} for n in range(2, MAX_LISTED + 2)]}, TOKEN,
     {"tokens": "\n".join([*(f"{ISS} t{n} 50" for n in range(2, MAX_LISTED + 2)),
                           f"{ISS} t1 100"])}),
    ("a subject", {"subjects": [{**MARK, "sub": "bob"}]}, SUBJECT,
     {"subjects": [{**MARK, "sub": "bob"}, MARK]}),
    ("a subject again, later", {"subjects": [{**MARK, "issued_before": 99}]}, SUBJECT,
     {"subjects": [MARK]}),
    ("a subject again, earlier", {"subjects": [{**MARK, "issued_before": 101}]}, SUBJECT, None),
    ("another issuer's subject", {"subjects": [{**MARK, "iss": "other"}]}, SUBJECT,
     {"subjects": [{**MARK, "iss": "other"}, MARK]}),
    ("a tenant in another case", {"tenants": [{"tenant": "abc", "issued_before": 1}]}, TENANT,
     {"tenants": [OWN]}),
    ("a tenant that is there", {"tenants": [OWN]}, TENANT, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "new", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_what_is_written(data: Data, new: NewRevocation, expected: Data | None) -> None:
    before = str(data)
    assert add_revocation(data, new) == expected
    assert str(data) == before, "what was read is not changed"
    if expected is not None:
        held, found = read_revocations(data), read_revocations(expected)
        assert set(held.kids) <= set(found.kids)
        assert {each.jti for each in held.tokens} <= {each.jti for each in found.tokens}


WRONG: list[tuple[str, Data, NewRevocation, str]] = [
    ("a list as text", {"kids": '["k"]'}, RevokedKid("k1"), "sidecar revoke"),
    ("tokens as JSON in a text", {"tokens": '[{"jti": "x"}]'}, TOKEN, "JSON within a text"),
    ("subjects as text", {"subjects": "[]"}, SUBJECT, "vault kv put"),
    ("an unknown field", {"token": []}, TOKEN, "token"),
    ("a jti with a space, in a text", {"tokens": f"{ISS} t0 50"}, RevokedToken(ISS, "a b", 1.0),
     "white space"),
    ("a kid without a character", {}, RevokedKid(""), "kids"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "new", "why"), [r[1:] for r in WRONG], ids=[r[0] for r in WRONG])
def test_what_no_sidecar_could_read_is_refused(data: Data, new: NewRevocation, why: str) -> None:
    with pytest.raises(RevocationFault, match=why):
        add_revocation(data, new)
