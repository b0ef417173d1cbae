"""What is personal in lines, and what stands there instead."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observability.audit import pseudonyms as module
from sidecar.observability.audit.day_keys import DAY_SECONDS, DayKeys
from sidecar.observability.audit.entry import (
    AuditEntry,
    encode_allowed_check,
    encode_entry,
    peer_fragment,
    target_fragment,
    tenant_fragment,
)
from sidecar.observability.audit.inputs import RecordedInputs
from sidecar.observability.audit.key_forest import KeyForest
from sidecar.observability.audit.pseudonyms import (
    Pseudonymizer,
    PseudonymKeys,
    address_of_day,
    address_of_subject,
    subject_pseudonym,
)

KEYS = PseudonymKeys(KeyForest(b"i" * 16, ({(0, 0): b"r" * 16},)), DayKeys(20_000, b"d" * 16))
NOW = 20_783 * DAY_SECONDS + 5.0
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def entry(**fields: Any) -> AuditEntry:
    known = {
        "at": 1.0, "decision_id": "d1", "outcome": "deny", "reason": "token_expired",
        "status": 401, "route": "api", "latency_us": 42, "path": "/api", "method": "GET",
    }  # fmt: skip
    return AuditEntry(**{**known, **fields})


def pseudonymizer() -> Pseudonymizer:
    made = Pseudonymizer(lambda: NOW)
    made.use(KEYS)
    return made


def rewritten(line: bytes) -> dict[str, Any]:
    (made,) = pseudonymizer().rewrite([line])
    assert made.endswith(b"}\n")
    read: dict[str, Any] = json.loads(made)
    return read


def expected(tenant: str, subject: str, source: str) -> tuple[str | None, str | None]:
    return (
        subject_pseudonym(KEYS, tenant, subject) if subject else None,
        None
        if not source
        else address_of_subject(KEYS, tenant, subject, source)
        if subject
        else address_of_day(KEYS, 20_783, source),
    )


def test_the_same_person_is_the_same_pseudonym_and_nobody_else() -> None:
    one = subject_pseudonym(KEYS, TENANT, "alice")
    assert one == subject_pseudonym(KEYS, TENANT, "alice")
    assert one.startswith("psn_")
    assert len(one) == 24
    assert one != subject_pseudonym(KEYS, TENANT, "bob")
    assert one != subject_pseudonym(KEYS, "other", "alice")
    fewer = KEYS._replace(forest=KEYS.forest.without(KEYS.forest.position(TENANT, "alice")))
    assert one != subject_pseudonym(fewer, TENANT, "alice")
    assert subject_pseudonym(fewer, TENANT, "bob") == subject_pseudonym(KEYS, TENANT, "bob")


def test_an_address_is_one_of_the_subject_or_one_of_the_day() -> None:
    same = address_of_subject(KEYS, TENANT, "alice", "10.0.0.1")
    assert same != address_of_subject(KEYS, TENANT, "bob", "10.0.0.1")
    assert same != address_of_subject(KEYS, TENANT, "alice", "10.0.0.2")
    assert address_of_day(KEYS, 20_783, "10.0.0.1") != address_of_day(KEYS, 20_784, "10.0.0.1")


@pytest.mark.parametrize("tenant", ["", TENANT])
@pytest.mark.parametrize("subject", ["", "alice", 'a"b', "a\\b", "ä", "\x1b[0m", ',"source":"x'])
@pytest.mark.parametrize("source", ["", "10.0.0.1", "::1", 'x"y', "\u202e"])
def test_lines_of_the_sidecar(tenant: str, subject: str, source: str) -> None:
    made = entry(tenant=tenant, subject=subject, source=source, principal="spiffe://a/b", kid="k")
    read = rewritten(encode_entry(made))
    assert (read.get("subject"), read.get("source")) == expected(tenant, subject, source)
    before = json.loads(encode_entry(made))
    for each in (read, before):
        each.pop("subject", None)
        each.pop("source", None)
    assert read == before
    assert list(read) == list(before)


def test_lines_of_allowed_checks_and_of_recorded_inputs() -> None:
    line = encode_allowed_check(
        1.0, b"d1", b"", tenant_fragment(TENANT, "alice"), target_fragment("GET", "h", "/"),
        peer_fragment("10.0.0.1", ""), b"", b"", b"", b"", 42,
    )  # fmt: skip
    read = rewritten(line)
    assert (read["subject"], read["source"]) == expected(TENANT, "alice", "10.0.0.1")
    inputs = RecordedInputs(iss="https://i", roles=('","subject":"x',), peer=("a",))
    made = entry(tenant=TENANT, subject="alice", source="10.0.0.1", inputs=inputs)
    read = rewritten(encode_entry(made))
    assert (read["subject"], read["source"]) == expected(TENANT, "alice", "10.0.0.1")
    assert read["inputs"]["roles"] == ['","subject":"x']


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_texts(tenant: str, subject: str, source: str) -> None:
    made = entry(tenant=tenant, subject=subject, source=source, detail=subject, path=source)
    try:
        line = encode_entry(made)
    except UnicodeEncodeError:
        return
    before, read = json.loads(line), rewritten(line)
    assert (read.get("subject"), read.get("source")) == expected(
        before.get("tenant", ""), before.get("subject", ""), before.get("source", "")
    )


def test_a_line_with_its_fields_in_another_order_or_that_is_none() -> None:
    for more in ("1", f'"{"x" * 100}"'):
        odd = f'{{"a":{more},"source":"10.0.0.1","subject":"alice","tenant":"t"}}\n'
        read = rewritten(odd.encode())
        assert (read["subject"], read["source"]) == expected("t", "alice", "10.0.0.1")
    assert rewritten(b'{"a":1,"subject":"a\\b"x}\n')["reason"] == "line_unreadable"


def test_without_the_keys_lines_are_anonymous_and_counted() -> None:
    line = encode_entry(entry(tenant=TENANT, subject="alice", source="10.0.0.1"))
    one, two = Pseudonymizer(lambda: NOW), Pseudonymizer(lambda: NOW)
    (first, again), (other,) = one.rewrite([line, line]), two.rewrite([line])
    assert first == again
    assert b"alice" not in first
    assert b"10.0.0.1" not in first
    assert first != other
    assert (one.anonymous, one.has_keys) == (2, False)
    one.use(KEYS)
    (known,) = one.rewrite([line])
    assert json.loads(known)["subject"] == subject_pseudonym(KEYS, TENANT, "alice")
    assert one.anonymous == 2


def test_a_key_that_is_just_deleted_is_one_of_this_process() -> None:
    forest = KEYS.forest.without(KEYS.forest.position(TENANT, "alice"))
    made = Pseudonymizer(lambda: NOW)
    made.use(KEYS._replace(forest=KeyForest(forest.index_key, forest.trees[:1])))
    line = encode_entry(entry(tenant=TENANT, subject="alice", source="10.0.0.1"))
    (read,) = made.rewrite([line])
    assert b'"subject":"psn_' in read
    assert subject_pseudonym(KEYS, TENANT, "alice").encode() not in read


def test_another_day_has_another_key() -> None:
    now = [NOW]
    made = Pseudonymizer(lambda: now[0])
    made.use(KEYS)
    line = encode_entry(entry(source="10.0.0.1"))
    (today,) = made.rewrite([line])
    now[0] += DAY_SECONDS
    (tomorrow,) = made.rewrite([line])
    assert json.loads(today)["source"] == address_of_day(KEYS, 20_783, "10.0.0.1")
    assert json.loads(tomorrow)["source"] == address_of_day(KEYS, 20_784, "10.0.0.1")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 10)
    made = pseudonymizer()
    for number in range(100):
        line = encode_entry(entry(subject=f"s{number}", source=f"10.0.0.{number}"))
        (read,) = made.rewrite([line])
        assert msgspec.json.decode(read)["subject"] == subject_pseudonym(KEYS, "", f"s{number}")
    assert 10 <= len(made._current.cache) <= 20
