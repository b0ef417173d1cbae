"""Which account a login is for; where two readers could differ, it is none."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.limits.account import NO_ACCOUNT, LoginAttempt, read_account, throttle_key
from sidecar.limits.bucket import Limit
from sidecar.limits.policy import LoginThrottle

PAIR = Limit("route/x/login", "login", 5, 60, 5)
JSON = LoginThrottle(PAIR, PAIR, pointer=("user", "email"))
FORM = LoginThrottle(PAIR, PAIR, form_field="email")
JSON_TYPE, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind", "account"),
    [
        ('{"user": {"email": "a@b.example"}}', JSON_TYPE, "a@b.example"),
        ('{"user": {"email": " A@B.Example "}}', "application/json; charset=utf-8", "a@b.example"),
        ('{"user": {"email": "a@b.example"}}', "application/vnd.api+json", "a@b.example"),
        ('{"user": {"email": "\\uff21@b.example"}}', JSON_TYPE, "a@b.example"),
        ('{"user": {"email": "a", "Email": "b"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a", "email": "b"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}, "USER": {"email": "b"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}, "x": NaN}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": ["a"]}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": "a"}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": [{"email": "a"}]}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": null}', JSON_TYPE, NO_ACCOUNT),
        ('{"email": "a"}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a", "em\\u0061il": "b"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}, "x": [{"y": 1, "Y": 2}]}', JSON_TYPE, NO_ACCOUNT),
        ('\ufeff{"user": {"email": "a"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "' + "a" * 513 + '"}}', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {}}', JSON_TYPE, NO_ACCOUNT),
        ("[" * 5000, JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}} // x', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}}', "text/plain", NO_ACCOUNT),
        ('{"user": {"email": "a"}}', "", NO_ACCOUNT),
    ],
)
def test_an_account_in_json(body: str, kind: str, account: str) -> None:
    assert (
        read_account(LoginAttempt(body.encode(), {"content-type": kind.encode()}), JSON) == account
    )


@pytest.mark.parametrize(
    ("body", "account"),
    [
        ("email=a%40b.example&password=x", "a@b.example"),
        ("password=x&email=a+b", "a b"),
        ("email=a&email=b", NO_ACCOUNT),
        ("email=a&EMAIL=b", NO_ACCOUNT),
        ("email=a&e%6Dail=b", NO_ACCOUNT),
        ("email=a&email[]=b", NO_ACCOUNT),
        ("email=a&x=1;email=b", NO_ACCOUNT),
        ("email=%FF", NO_ACCOUNT),
        ("email=a&_charset_=utf-7", NO_ACCOUNT),
        ("\ufeffemail=a", NO_ACCOUNT),
        ("password=x", NO_ACCOUNT),
        ("", NO_ACCOUNT),
    ],
)
def test_an_account_in_a_form(body: str, account: str) -> None:
    assert (
        read_account(LoginAttempt(body.encode(), {"content-type": FORM_TYPE.encode()}), FORM)
        == account
    )


@pytest.mark.parametrize(
    ("kind", "account"),
    [
        (f"{JSON_TYPE};charset=UTF-8", "a"),
        (f'{JSON_TYPE}; charset="utf-8"', "a"),
        (f"{JSON_TYPE}; odata=verbose", "a"),
        (f"{JSON_TYPE}; charset=utf-7", NO_ACCOUNT),
        (f"{JSON_TYPE}; charset=utf-16le", NO_ACCOUNT),
        (f"{JSON_TYPE}; charset=iso-8859-1", NO_ACCOUNT),
        (f"{JSON_TYPE}; charset=utf-8; charset=utf-7", NO_ACCOUNT),
        (f"{JSON_TYPE}; charset*=utf-8''utf-7", NO_ACCOUNT),
        (f"{JSON_TYPE}, {JSON_TYPE}", NO_ACCOUNT),
        (f"{JSON_TYPE}; charset=utf-8, text/plain; charset=utf-7", NO_ACCOUNT),
        (f"{FORM_TYPE}; charset=utf-8", "a"),
        (f"{FORM_TYPE}; charset=utf-7", NO_ACCOUNT),
    ],
)
def test_a_charset_other_than_utf_8_is_another_reading(kind: str, account: str) -> None:
    login, body = (JSON, b'{"user": {"email": "a"}}') if "json" in kind else (FORM, b"email=a")
    assert read_account(LoginAttempt(body, {"content-type": kind.encode()}), login) == account


@pytest.mark.parametrize(
    ("query", "account"),
    [
        (b"", "a"),
        (b"next=/home", "a"),
        (b"email=b", NO_ACCOUNT),
        (b"x=1&EMAIL=b", NO_ACCOUNT),
        (b"e%6Dail=b", NO_ACCOUNT),
        (b"email[]=b", NO_ACCOUNT),
        (b"x=1;email=b", NO_ACCOUNT),
        (b"x=%ff", "a"),
        (b"email%ff=b", NO_ACCOUNT),
        (b"\xff", NO_ACCOUNT),
    ],
)
def test_an_account_in_the_query_too_is_another_reading(query: bytes, account: str) -> None:
    for login, body, kind in (
        (FORM, b"email=a", FORM_TYPE),
        (JSON, b'{"user": {"email": "a"}}', JSON_TYPE),
    ):
        attempt = LoginAttempt(body, {"content-type": kind.encode()}, query)
        assert read_account(attempt, login) == account


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Alice@Example.com", "alice@example.com", True),
        (" alice@example.com\t", "alice@example.com", True),
        ("\uff41lice@example.com", "alice@example.com", True),
        ("\u00e1lice@example.com", "alice@example.com", True),
        ("a\u0301lice@example.com", "\u00c1LICE@example.com", True),
        ("al\u200bice@example.com", "alice@example.com", True),
        ("al\u00adice@example.com", "alice@example.com", True),
        ("alice@example.com\x00", "alice@example.com", True),
        ("\u212aim@example.com", "kim@example.com", True),
        ("stra\u00dfe", "STRASSE", True),
        ("\u0130da", "ida", True),
        ("alice+x@example.com", "alice@example.com", False),
        ("alice@example.com", "alice@example.org", False),
        ("a lice@example.com", "alice@example.com", False),
    ],
)
def test_spellings_that_a_database_takes_for_one_account_are_one(
    one: str, other: str, alike: bool
) -> None:
    read = [
        read_account(
            LoginAttempt(
                json.dumps({"user": {"email": each}}).encode(), {"content-type": JSON_TYPE.encode()}
            ),
            JSON,
        )
        for each in (one, other)
    ]
    assert NO_ACCOUNT not in read
    assert (read[0] == read[1]) is alike


@pytest.mark.parametrize(
    ("headers", "filler"),
    [
        pytest.param({"content-encoding": b"gzip"}, 0, id="encoded"),
        pytest.param({"x-envoy-auth-partial-body": b"true"}, 0, id="not whole"),
        pytest.param({"x-envoy-auth-partial-body": b"false,true"}, 0, id="perhaps not whole"),
        pytest.param({}, 9000, id="too long"),
    ],
)
def test_a_body_that_is_not_read(headers: dict[str, bytes], filler: int) -> None:
    body = json.dumps({"user": {"email": "a"}, "x": "y" * filler}).encode()
    known = {"content-type": JSON_TYPE.encode()}
    assert read_account(LoginAttempt(body, known | headers), JSON) == NO_ACCOUNT
    assert read_account(LoginAttempt(b'{"user": {"email": "a"}}', known), JSON) == "a"


def test_bytes_that_are_no_utf_8_name_no_account() -> None:
    body = '{"user": {"email": "ä"}}'.encode("latin-1")
    assert (
        read_account(LoginAttempt(body, {"content-type": JSON_TYPE.encode()}), JSON) == NO_ACCOUNT
    )


def test_a_key_is_the_secret_s_and_tells_its_parts_apart() -> None:
    keys = {
        throttle_key(b"k" * 32, "a", "bc"),
        throttle_key(b"k" * 32, "ab", "c"),
        throttle_key(b"k" * 32, "abc"),
        throttle_key(b"l" * 32, "a", "bc"),
    }
    assert len(keys) == 4
    assert throttle_key(b"k" * 32, "a", "bc") in keys
    assert throttle_key(b"k" * 32, "\ud800") not in keys


@given(st.binary(max_size=300), st.sampled_from([JSON_TYPE, FORM_TYPE, "", "application/x+json"]))
def test_no_body_breaks_it(body: bytes, kind: str) -> None:
    for login in (JSON, FORM):
        account = read_account(LoginAttempt(body, {"content-type": kind.encode()}), login)
        assert len(throttle_key(b"k" * 32, account)) == 32


@given(st.text(min_size=1, max_size=60))
def test_an_account_is_one_in_a_form_and_in_json(account: str) -> None:
    form = urlencode({"email": account}).encode()
    document = json.dumps({"user": {"email": account}}).encode()
    read = [
        read_account(LoginAttempt(body, {"content-type": kind.encode()}), login)
        for body, kind, login in ((form, FORM_TYPE, FORM), (document, JSON_TYPE, JSON))
    ]
    assert read[0] == read[1]
