"""Which origins a policy admits, as a pure value."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.headers.cors import Cors
from sidecar.headers.field import How


def cors(*origins: str, credentials: bool = False) -> Cors:
    return Cors(origins, ["GET"], [], ["x-a", "x-b"], credentials=credentials, max_age_seconds=5)


POLICY = cors("https://app.example", "https://*.dev.example:8443", "http://localhost:3000")
ADMITTED = [
    b"https://app.example",
    b"http://localhost:3000",
    b"https://a.dev.example:8443",
    b"https://a.b.dev.example:8443",
]
NOT_ADMITTED = [
    b"",
    b"null",
    b"https://app.example/",
    b"https://app.example:443",
    b"https://APP.example",
    b"http://app.example",
    b"https://app.example.evil.example",
    b"https://dev.example:8443",
    b"https://.dev.example:8443",
    b"https://evildev.example:8443",
    b"https://a.dev.example",
    b"https://a.dev.example:84430",
    b"https://evil.example/.dev.example:8443",
    b"https://evil.example#.dev.example:8443",
    b"https://evil.example?.dev.example:8443",
    b"https://user@a.dev.example:8443",
    b"https://evil.example\\.dev.example:8443",
    b"https://a b.dev.example:8443",
    b"https://a\n.dev.example:8443",
    b"https://\xc3\xa4.dev.example:8443",
    b"https://" + b"a." * 200 + b"dev.example:8443",
    b"https://app.example,https://app.example",
    b"https://*.dev.example:8443",
]


@pytest.mark.parametrize("origin", ADMITTED)
def test_admitted(origin: bytes) -> None:
    assert POLICY.admits(origin)
    assert POLICY.spoken(origin) == origin.decode()


@pytest.mark.parametrize("origin", NOT_ADMITTED)
def test_not_admitted(origin: bytes) -> None:
    assert not POLICY.admits(origin)


def answered(policy: Cors, origin: str) -> dict[str, bytes]:
    return {each.name: each.value for each in policy.on_answer(origin)}


def test_what_an_origin_is_answered() -> None:
    policy = cors("https://app.example", credentials=True)
    assert answered(policy, "https://app.example") == {
        "vary": b"origin",
        "access-control-allow-origin": b"https://app.example",
        "access-control-allow-credentials": b"true",
        "access-control-expose-headers": b"x-a, x-b",
    }
    assert answered(policy, "") == {"vary": b"origin"}


def test_what_is_not_configured_is_not_answered() -> None:
    plain = Cors(["https://app.example"], ["GET"], [], [], credentials=False, max_age_seconds=0)
    assert answered(plain, "https://app.example").keys() == {"vary", "access-control-allow-origin"}
    assert {each.name: each.value for each in plain.on_preflight()} == {
        "access-control-allow-methods": b"GET",
        "access-control-max-age": b"0",
    }
    assert plain.on_answer("")[0].how is How.BESIDE, "the application's own vary stands"


def test_what_a_preflight_is_answered() -> None:
    policy = Cors(
        ["*"], ["GET", "PUT"], ["authorization", "x-a"], [], credentials=False, max_age_seconds=600
    )
    assert {each.name: each.value for each in policy.on_preflight()} == {
        "access-control-allow-methods": b"GET, PUT",
        "access-control-max-age": b"600",
        "access-control-allow-headers": b"authorization, x-a",
    }


@pytest.mark.parametrize(
    ("pattern", "origin", "admitted"),
    [
        ("https://*.dev.example", b"https://a.dev.example", True),
        ("https://*.dev.example", b"https://a.dev.example:8443", False),
        ("https://*.dev.example", b"https://dev.example", False),
        ("http://*.dev.example:80", b"http://a.dev.example:80", True),
        ("http://*.dev.example:80", b"http://a.dev.example:8080", False),
        ("http://*.dev.example:80", b"https://a.dev.example:80", False),
    ],
)
def test_a_suffix_is_of_one_scheme_and_port(pattern: str, origin: bytes, admitted: bool) -> None:
    assert cors(pattern).admits(origin) is admitted


def test_an_origin_has_a_bound() -> None:
    policy = cors("https://*.example")
    longest = b"https://" + b"a" * (300 - len(b"https://.example")) + b".example"
    assert len(longest) == 300
    assert policy.admits(longest)
    assert not policy.admits(longest.replace(b"//a", b"//aa"))


def test_where_all_are_admitted_nothing_varies() -> None:
    policy = cors("*")
    assert policy.admits(b"")
    assert policy.spoken(b"https://a.example") == "*"
    assert "vary" not in answered(policy, "*")


@given(st.binary(max_size=64))
@example(b"https://a.dev.example:8443 ")
def test_what_is_admitted_can_stand_in_a_header(origin: bytes) -> None:
    if POLICY.admits(origin):
        assert origin.isascii()
        assert origin.decode().isprintable()
