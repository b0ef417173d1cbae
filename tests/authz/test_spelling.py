"""Names of cookies in the forms in which some server finds them."""

import pytest

from sidecar.authz.spelling import forms_of, may_hold

SPELLINGS: list[tuple[str, bytes, bool]] = [
    ("as it is", b"my_session", True),
    ("in capitals: ASP.NET", b"MY_SESSION", True),
    ("a dot: PHP", b"my.session", True),
    ("a space: PHP", b"my session", True),
    ("a plus", b"my+session", True),
    ("a lone bracket: PHP", b"my[session", True),
    ("an array: PHP", b"my_session[0]", True),
    ("escaped: PHP, Rack", b"my%5Fsession", True),
    ("ended by NUL: PHP", b"my_session%00x", True),
    ("white space before: Node", b" \tmy_session", True),
    ("Unicode's white space: Django", "\u00a0my_session".encode(), True),
    ("another name", b"my_sessions", False),
    ("a part of it", b"session", False),
    ("a hyphen, which no server folds in a cookie", b"my-session", False),
]


@pytest.mark.parametrize(
    ("name", "found"), [row[1:] for row in SPELLINGS], ids=[row[0] for row in SPELLINGS]
)
def test_a_spelling(name: bytes, found: bool) -> None:
    assert (b"my_session" in forms_of(name)) is found


@pytest.mark.parametrize("name", [row[1] for row in SPELLINGS if row[2]])
def test_the_quick_look_overlooks_none(name: bytes) -> None:
    assert may_hold(b"a=b; " + name + b"=token", forms_of(b"my_session"))


def test_the_quick_look_says_no_where_there_is_none() -> None:
    assert not may_hold(b"a=b; c=d", forms_of(b"my_session"))
