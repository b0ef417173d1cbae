"""What a tenant may make of a profile's policies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.csp.language import Policy, PolicyProblem, parse_policy
from sidecar.csp.language.overlay import apply_overlay
from tests.csp.language.browser import allowed
from tests.csp.language.test_narrow import LISTS, NAMES, POLICIES, seen

DOMAIN = "shop.acme.example"
Given = dict[str, tuple[str, ...]]


def policy(given: Given) -> Policy:
    parsed, wrong = parse_policy(given)
    assert parsed is not None, wrong
    return parsed


def overlaid(
    enforced: list[Given],
    overlay: Given,
    additions: tuple[str, ...] = (),
    watched: list[Given] | None = None,
) -> tuple[list[str], list[PolicyProblem]]:
    policies = tuple(map(policy, enforced)), tuple(map(policy, watched or []))
    (after, after_watched), wrong = apply_overlay(policies, overlay, additions, DOMAIN)
    return [each.render(DOMAIN, None) for each in (*after, *after_watched)], wrong


SHELL: Given = {
    "default-src": ("'none'",),
    "script-src": ("'self'", "cdn.example"),
    "connect-src": ("'self'", "*.api.example", "{tenant_domain}"),
}
BASE = "default-src 'none'; script-src 'self' cdn.example; connect-src "
MADE: list[tuple[str, Given, tuple[str, ...], str]] = [
    ("narrower", {"connect-src": ("'self'",)}, (), BASE + "'self'"),
    ("nothing", {"connect-src": ("'none'",)}, (), BASE + "'none'"),
    (
        "its own domain by name",
        {"connect-src": ("shop.acme.example", "eu.api.example")},
        (),
        BASE + "shop.acme.example eu.api.example",
    ),
    (
        "a directive that was not governed",
        {"form-action": ("'self'",)},
        (),
        BASE + "'self' *.api.example shop.acme.example; form-action 'self'",
    ),
    (
        "an addition",
        {"connect-src": ("'self'", "wss://live.acme.example")},
        ("connect-src",),
        BASE + "'self' wss://live.acme.example",
    ),
]


@pytest.mark.parametrize(
    ("overlay", "additions", "text"), [m[1:] for m in MADE], ids=[m[0] for m in MADE]
)
def test_made(overlay: Given, additions: tuple[str, ...], text: str) -> None:
    assert overlaid([SHELL], overlay, additions) == ([text], [])


REFUSED: list[tuple[str, Given, tuple[str, ...], PolicyProblem]] = [
    (
        "an addition that no profile allows",
        {"connect-src": ("'self'", "evil.example")},
        (),
        PolicyProblem("evil.example is not covered by the profile's connect-src", "connect-src", 1),
    ),
    (
        "in another directive than the allowed one",
        {"img-src": ("a.example",)},
        ("connect-src",),
        PolicyProblem("a.example is not covered by the profile's default-src", "img-src", 0),
    ),
    (
        "everything as an addition",
        {"connect-src": ("*",)},
        ("connect-src",),
        PolicyProblem("* can't be added: a host by name over https or wss can", "connect-src", 0),
    ),
    (
        "a scheme as an addition",
        {"connect-src": ("https:",)},
        ("connect-src",),
        PolicyProblem(
            "https: can't be added: a host by name over https or wss can", "connect-src", 0
        ),
    ),
    (
        "an addition in the clear",
        {"connect-src": ("http://a.example",)},
        ("connect-src",),
        PolicyProblem(
            "http://a.example can't be added: a host by name over https or wss can",
            "connect-src",
            0,
        ),
    ),
    (
        "a whole top-level domain",
        {"connect-src": ("*.example",)},
        ("connect-src",),
        PolicyProblem(
            "*.example can't be added: a host by name over https or wss can", "connect-src", 0
        ),
    ),
    (
        "inline scripts as an addition",
        {"script-src": ("'unsafe-inline'",)},
        ("script-src",),
        PolicyProblem(
            "'unsafe-inline' can't be added: a host by name over https or wss can", "script-src", 0
        ),
    ),
    (
        "where reports go",
        {"report-uri": ("https://evil.example/",)},
        (),
        PolicyProblem("where reports go is not a tenant's to say", "report-uri"),
    ),
    (
        "a misspelling",
        {"img": ()},
        (),
        PolicyProblem("is no directive; did you mean img-src?", "img"),
    ),
]


@pytest.mark.parametrize(
    ("overlay", "additions", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(overlay: Given, additions: tuple[str, ...], said: PolicyProblem) -> None:
    assert overlaid([SHELL], overlay, additions)[1] == [said]


def test_a_profile_without_policy_can_not_be_narrowed() -> None:
    assert overlaid([], {"img-src": ("'self'",)})[1] == [
        PolicyProblem("the profile enforces no policy that could be narrowed")
    ]


def test_the_other_policies_get_the_additions_and_nothing_else() -> None:
    second: Given = {"connect-src": ("https:",), "img-src": ("*",)}
    trial: Given = {"default-src": ("'none'",)}
    overlay: Given = {
        "connect-src": ("'self'", "wss://live.acme.example", "http-only.acme.example")
    }
    made, wrong = overlaid([SHELL, second], overlay, ("connect-src",), [trial])
    assert wrong == []
    assert made == [
        BASE + "'self' wss://live.acme.example http-only.acme.example",
        "connect-src https:; img-src *",
        "default-src 'none'; connect-src wss://live.acme.example http-only.acme.example",
    ]


@settings(max_examples=500)
@given(
    enforced=st.lists(POLICIES, min_size=1, max_size=2),
    overlay=st.dictionaries(st.sampled_from(NAMES), LISTS, min_size=1, max_size=3),
)
def test_no_accepted_overlay_lets_more_in(enforced: list[Given], overlay: Given) -> None:
    """All enforced policies hold at once: what gets through is what gets through each."""
    policies = tuple(map(policy, enforced)), ()
    (after, _), wrong = apply_overlay(policies, overlay, (), DOMAIN)
    for asked in (*NAMES, "script-src-elem", "img-src"):
        before_set = after_set = -1
        for was, is_now in zip(enforced, after, strict=True):
            before_set &= allowed(was, asked, seen)
            now = {name: each.values for name, each in is_now.directives.items()}
            after_set &= allowed(now, asked, seen)
        assert wrong or after_set & ~before_set == 0
