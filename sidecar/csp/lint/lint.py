"""The lint of a profile: each policy, all policies together, and their reports."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.csp.language import Policy
from sidecar.csp.lint.finding import Finding, LintSeverity
from sidecar.csp.lint.tidy import adds_nothing, untidiness
from sidecar.csp.lint.weak import Weakness, weaknesses


class Placed(NamedTuple):
    """A finding and its policy: ``list_name`` and ``number``, empty for the whole profile."""

    list_name: str
    number: int | None
    finding: Finding


def lint_profile(
    enforced: Sequence[Policy], report_only: Sequence[Policy] = (), *, endpoint: str | None = None
) -> list[Placed]:
    """Return all findings, the worst first. ``endpoint`` is the configured reporting group.

    A weakness of an enforced policy counts only if all others that are enforced with it are as
    weak in the same matter: a browser applies all of them at once. A report-only policy stops
    nothing, so there only missing reports and ineffective parts are findings.
    """
    found = [
        *_weak(enforced),
        *_untidy("enforced", enforced),
        *_untidy("report_only", report_only),
        *_vain("enforced", enforced, enforced),
        *_vain("report_only", report_only, enforced),
        *_silent("enforced", enforced, endpoint),
        *_silent("report_only", report_only, endpoint),
    ]
    if not enforced:
        message = "no policy is enforced: the application's own stands, or none"
        found.append(Placed("", None, Finding(LintSeverity.INFO, "no-policy", message)))
    return sorted(found, key=lambda placed: -placed.finding.severity)


def _weak(enforced: Sequence[Policy]) -> Iterator[Placed]:
    by_policy = [list(weaknesses(policy)) for policy in enforced]
    strengths = [_worst_by_matter(found) for found in by_policy]
    for index, found in enumerate(by_policy):
        others = [*strengths[:index], *strengths[index + 1 :]]
        for weakness in found:
            if _stands(weakness, others):
                yield Placed("enforced", index, weakness.finding)


def _worst_by_matter(found: Sequence[Weakness]) -> dict[str, LintSeverity]:
    worst: dict[str, LintSeverity] = {}
    for finding, matters in found:
        for matter in matters:
            worst[matter] = max(worst.get(matter, finding.severity), finding.severity)
    return worst


def _stands(weakness: Weakness, others: Sequence[dict[str, LintSeverity]]) -> bool:
    """Tell whether all other policies are at least as weak in one of its matters."""
    if not weakness.matters:
        return True
    severity = weakness.finding.severity
    return any(
        all(matter in other and other[matter] >= severity for other in others)
        for matter in weakness.matters
    )


def _untidy(list_name: str, policies: Sequence[Policy]) -> Iterator[Placed]:
    for index, policy in enumerate(policies):
        for finding in untidiness(policy):
            yield Placed(list_name, index, finding)


def _vain(
    list_name: str, policies: Sequence[Policy], enforced: Sequence[Policy]
) -> Iterator[Placed]:
    for index, policy in enumerate(policies):
        others = [other for other in enforced if other is not policy]
        if adds_nothing(policy, others):
            message = "forbids nothing that an enforced policy beside it does not"
            yield Placed(list_name, index, Finding(LintSeverity.LOW, "policy-in-vain", message))


def _silent(list_name: str, policies: Sequence[Policy], endpoint: str | None) -> Iterator[Placed]:
    watched = list_name == "report_only"
    for index, policy in enumerate(policies):
        to, uri = policy.directives.get("report-to"), policy.directives.get("report-uri")
        if to is None and uri is None:
            severity = LintSeverity.MEDIUM if watched else LintSeverity.INFO
            message = "nobody hears of violations" + (": it does nothing" if watched else "")
            yield Placed(list_name, index, Finding(severity, "no-endpoint", message))
        if to is not None and to.values[0] != endpoint:
            message = "names an endpoint that no Reporting-Endpoints header has"
            finding = Finding(
                LintSeverity.MEDIUM, "endpoint-unknown", message, to.name, to.values[0]
            )
            yield Placed(list_name, index, finding)
        if to is not None and uri is None:
            message = "browsers without the Reporting API need report-uri"
            yield Placed(
                list_name, index, Finding(LintSeverity.INFO, "report-to-only", message, to.name)
            )
