"""Policies as headers: rendered for a tenant, and for browsers that know fewer directives."""

from collections.abc import Mapping, Sequence

import pytest

from sidecar.csp.language import Policy, parse_policy
from sidecar.headers.csp import CompiledProfile

SHELL = {
    "script-src": ("'self'", "cdn.septemcore.com"),
    "connect-src": ("'self'", "{tenant_domain}"),
    "img-src": ("{tenant_domain}",),
    "frame-src": ("https://{tenant_domain}",),
    "upgrade-insecure-requests": (),
}


def policy(directives: Mapping[str, Sequence[str]]) -> Policy:
    parsed, wrong = parse_policy(directives)
    assert parsed is not None, wrong
    return parsed


CDN = "script-src 'self' cdn.septemcore.com"
RENDERED = [
    (
        "a tenant's domain stands where it is named",
        "a.example",
        f"{CDN}; connect-src 'self' a.example; img-src a.example; frame-src https://a.example",
    ),
    (
        "without one the source falls away, and an empty list is 'none'",
        None,
        f"{CDN}; connect-src 'self'; img-src 'none'; frame-src 'none'",
    ),
]


@pytest.mark.parametrize(
    ("domain", "value"), [r[1:] for r in RENDERED], ids=[r[0] for r in RENDERED]
)
def test_a_profile_rendered(domain: str | None, value: str) -> None:
    rendered = CompiledProfile([policy(SHELL)]).render(domain)
    assert rendered == [("content-security-policy", f"{value}; upgrade-insecure-requests".encode())]


def profile(*policies: dict[str, Sequence[str]]) -> CompiledProfile:
    return CompiledProfile([policy(each) for each in policies])


def test_several_policies_are_one_value_and_report_only_ones_another() -> None:
    one, two = policy({"img-src": ("'self'",)}), policy({"font-src": ("{tenant_domain}",)})
    rendered = CompiledProfile([one, two], [two]).render("a.example")
    assert rendered == [
        ("content-security-policy", b"img-src 'self', font-src a.example"),
        ("content-security-policy-report-only", b"font-src a.example"),
    ]
    assert CompiledProfile([], [one]).render(None) == [
        ("content-security-policy-report-only", b"img-src 'self'")
    ]
    assert CompiledProfile([]).render(None) == []


FRAMES: list[tuple[str, list[dict[str, Sequence[str]]], bytes | None]] = [
    ("nothing said", [{"img-src": ("'self'",)}], None),
    ("no page", [{"frame-ancestors": ("'none'",)}], b"DENY"),
    ("the page's own origin", [{"frame-ancestors": ("'self'",)}], b"SAMEORIGIN"),
    ("its own and another", [{"frame-ancestors": ("'self'", "a.example")}], b"SAMEORIGIN"),
    ("others alone", [{"frame-ancestors": ("a.example",)}], b"DENY"),
    ("every page", [{"frame-ancestors": ("*",)}], None),
    (
        "of two policies the stricter",
        [{"frame-ancestors": ("'self'",)}, {"frame-ancestors": ("a.example",)}],
        b"DENY",
    ),
    (
        "in any order",
        [{"frame-ancestors": ("'none'",)}, {"frame-ancestors": ("'self'",)}],
        b"DENY",
    ),
    (
        "one for every page, and one that is not",
        [{"frame-ancestors": ("*",)}, {"frame-ancestors": ("'self'",)}],
        b"SAMEORIGIN",
    ),
]


@pytest.mark.parametrize(("policies", "value"), [f[1:] for f in FRAMES], ids=[f[0] for f in FRAMES])
def test_x_frame_options(policies: list[dict[str, Sequence[str]]], value: bytes | None) -> None:
    assert profile(*policies).frame_options() == value


def test_what_is_only_reported_frames_nothing() -> None:
    assert CompiledProfile([], [policy({"frame-ancestors": ("'none'",)})]).frame_options() is None
