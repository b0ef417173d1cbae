"""A profile is linted as a whole: what one policy closes is open in none."""

import pytest

from sidecar.config.headers import BUILT_IN
from sidecar.csp.language import parse_policy
from sidecar.csp.lint.finding import LintSeverity, worst
from sidecar.csp.lint.lint import lint_profile
from tests.csp.lint.headers import SCRIPT, STRICT, lint, with_sources, without


def test_a_strict_policy_has_no_finding() -> None:
    assert lint(STRICT) == set()


FOUND: list[tuple[str, str, str, str, str]] = [
    ("silent", without("report-uri").replace("; report-to r", ""), "info", "no-endpoint", ""),
    (
        "unknown endpoint",
        STRICT.replace("report-to r", "report-to x"),
        "medium",
        "endpoint-unknown",
        "report-to",
    ),
    ("new browsers only", without("report-uri"), "info", "report-to-only", "report-to"),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


def test_a_weakness_that_another_enforced_policy_closes_is_none() -> None:
    weak = with_sources(SCRIPT, "'unsafe-inline' *")
    assert lint(weak) & {("high", "wildcard", SCRIPT)}
    assert {s for s, _, _ in lint(f"{weak}, {STRICT}")} <= {"info", "low"}


def test_a_weakness_stays_beside_a_policy_that_does_not_speak_of_it() -> None:
    weak = with_sources(SCRIPT, "https:")
    framing = "frame-ancestors 'none'; report-uri /r"
    for header in (f"{weak}, {framing}", f"{framing}, {weak}"):
        found = {(severity, rule) for severity, rule, _ in lint(header)}
        assert ("high", "scheme-source") in found
    assert {s for s, _, _ in lint(f"{STRICT}, {framing}")} <= {"info", "low"}


def test_what_each_of_two_policies_closes_is_closed() -> None:
    """Scripts by the one, everything else by the other."""
    scripts = "script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic'; report-uri /r"
    rest = with_sources(SCRIPT, "*")
    assert {s for s, _, _ in lint(f"{scripts}, {rest}")} <= {"info", "low"}
    assert ("high", "wildcard", SCRIPT) in lint(rest)


def test_a_policy_that_adds_nothing_is_said() -> None:
    loose = with_sources("img-src", "a.example")
    assert ("low", "policy-in-vain", "") in lint(f"{STRICT}, {loose}")
    assert ("low", "policy-in-vain", "") in lint(STRICT, watched=loose)
    assert ("low", "policy-in-vain", "") not in lint(loose, watched=STRICT)


def test_a_watched_policy_must_report_and_need_not_be_strict() -> None:
    watched = "img-src 'none'"
    assert lint(with_sources("img-src", "a.example"), watched=watched) == {
        ("medium", "no-endpoint", "")
    }


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_profiles_have_nothing_above_info(name: str) -> None:
    policies = [policy for given in BUILT_IN[name].enforced if (policy := parse_policy(given)[0])]
    assert worst(each.finding for each in lint_profile(policies)) == LintSeverity.INFO
