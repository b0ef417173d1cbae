"""The token of a form: of this process, of this action, of this target, and of nothing else."""

import pytest

from sidecar.admin.page.forms import FormTokens, PostedForm, read_form

OURS = FormTokens(b"k" * 32)


def filled(action: str = "renew", target: str = "edge", token: str | None = None) -> PostedForm:
    made = OURS.token("renew", "edge") if token is None else token
    return PostedForm(action, target, "certificates", made)


def test_our_own_form_is_ours() -> None:
    assert OURS.is_ours(filled())


@pytest.mark.parametrize(
    "form",
    [
        filled(action="revoke"),
        filled(target="other"),
        filled(action="renewe", target="dge"),
        filled(token=""),
        filled(token=FormTokens(b"l" * 32).token("renew", "edge")),
        filled(token=OURS.token("renew", "edge").upper()),
        filled(token=OURS.token("renew", "edge")[:-1]),
        filled(token="é" * 64),
        filled(token="\ud800"),
    ],
)
def test_any_other_is_not(form: PostedForm) -> None:
    assert not OURS.is_ours(form)


def test_each_process_has_a_secret_of_its_own() -> None:
    assert FormTokens().token("a", "b") != FormTokens().token("a", "b")


def test_no_two_pairs_have_one_token() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("1:a", "bc"), ("a1:", "bc")]
    assert len({OURS.token(*pair) for pair in pairs}) == len(pairs)


BODY = b"action=renew&target=a%2Fb&back=certificates&token=t"
BAD = [
    b"",
    b"action=renew",
    BODY + b"&action=revoke",
    BODY.replace(b"&token=t", b""),
    BODY + b"".join(b"&x%d=1" % number for number in range(9)),
    b"\xff" + BODY,
    BODY.replace(b"t", b"%ff", 1) + b"&target=%ff",
    b"{}",
]


def test_a_form_is_read() -> None:
    assert read_form(BODY) == PostedForm("renew", "a/b", "certificates", "t")
    assert read_form(BODY.replace(b"a%2Fb", b"")) == PostedForm("renew", "", "certificates", "t")


@pytest.mark.parametrize("body", BAD)
def test_what_is_no_whole_form_is_none(body: bytes) -> None:
    assert read_form(body) is None
