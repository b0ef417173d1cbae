"""Which account a login is for; where two readers could differ, it is none."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.limits.account import NO_ACCOUNT, read_account, throttle_key
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
        ('{"user": {}}', JSON_TYPE, NO_ACCOUNT),
        ("[" * 5000, JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}} // x', JSON_TYPE, NO_ACCOUNT),
        ('{"user": {"email": "a"}}', "text/plain", NO_ACCOUNT),
        ('{"user": {"email": "a"}}', "", NO_ACCOUNT),
    ],
)
def test_an_account_in_json(body: str, kind: str, account: str) -> None:
    assert read_account(body.encode(), {"content-type": kind.encode()}, JSON) == account


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
        ("password=x", NO_ACCOUNT),
        ("", NO_ACCOUNT),
    ],
)
def test_an_account_in_a_form(body: str, account: str) -> None:
    assert read_account(body.encode(), {"content-type": FORM_TYPE.encode()}, FORM) == account


@pytest.mark.parametrize(
    ("headers", "filler"),
    [
        pytest.param({"content-encoding": b"gzip"}, 0, id="encoded"),
        pytest.param({"x-envoy-auth-partial-body": b"true"}, 0, id="not whole"),
        pytest.param({}, 9000, id="too long"),
    ],
)
def test_a_body_that_is_not_read(headers: dict[str, bytes], filler: int) -> None:
    body = json.dumps({"user": {"email": "a"}, "x": "y" * filler}).encode()
    known = {"content-type": JSON_TYPE.encode()}
    assert read_account(body, known | headers, JSON) == NO_ACCOUNT
    assert read_account(b'{"user": {"email": "a"}}', known, JSON) == "a"


def test_bytes_that_are_no_utf_8_name_no_account() -> None:
    body = '{"user": {"email": "ä"}}'.encode("latin-1")
    assert read_account(body, {"content-type": JSON_TYPE.encode()}, JSON) == NO_ACCOUNT


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
        account = read_account(body, {"content-type": kind.encode()}, login)
        assert len(throttle_key(b"k" * 32, account)) == 32


@given(st.text(min_size=1, max_size=60))
def test_an_account_is_one_in_a_form_and_in_json(account: str) -> None:
    form = urlencode({"email": account}).encode()
    document = json.dumps({"user": {"email": account}}).encode()
    assert read_account(form, {"content-type": FORM_TYPE.encode()}, FORM) == read_account(
        document, {"content-type": JSON_TYPE.encode()}, JSON
    )
