"""A profile's policies, linted: each one, all together, and where their reports go."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.csp import Policy
from sidecar.csplint.finding import Finding, Severity
from sidecar.csplint.tidy import adds_nothing, untidiness
from sidecar.csplint.weak import weaknesses


class Placed(NamedTuple):
    """A finding and the policy it is about: ``list_name`` and ``number``, empty for the profile."""

    list_name: str
    number: int | None
    finding: Finding


def lint_profile(
    enforced: Sequence[Policy], report_only: Sequence[Policy] = (), *, endpoint: str | None = None
) -> list[Placed]:
    """Return every finding, the worst first. ``endpoint`` is the group that browsers are told of.

    A weakness of an enforced policy stands only if all the others that are enforced with it
    have it too: a browser holds all of them at once. A watched policy stops nothing, so
    there only what is silent or in vain is a finding.
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
        found.append(Placed("", None, Finding(Severity.INFO, "no-policy", message)))
    return sorted(found, key=lambda placed: -placed.finding.severity)


def _weak(enforced: Sequence[Policy]) -> Iterator[Placed]:
    by_policy = [list(weaknesses(policy)) for policy in enforced]
    shared = None
    for findings in by_policy:
        keys = {finding.rule for finding in findings}
        shared = keys if shared is None else shared & keys
    for index, findings in enumerate(by_policy):
        for finding in findings:
            if shared is not None and finding.rule in shared:
                yield Placed("enforced", index, finding)


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
            yield Placed(list_name, index, Finding(Severity.LOW, "policy-in-vain", message))


def _silent(list_name: str, policies: Sequence[Policy], endpoint: str | None) -> Iterator[Placed]:
    watched = list_name == "report_only"
    for index, policy in enumerate(policies):
        to, uri = policy.directives.get("report-to"), policy.directives.get("report-uri")
        if to is None and uri is None:
            severity = Severity.MEDIUM if watched else Severity.INFO
            message = "nobody hears of violations" + (": it does nothing" if watched else "")
            yield Placed(list_name, index, Finding(severity, "no-endpoint", message))
        if to is not None and to.values[0] != endpoint:
            message = "names an endpoint that no Reporting-Endpoints header has"
            finding = Finding(Severity.MEDIUM, "endpoint-unknown", message, to.name, to.values[0])
            yield Placed(list_name, index, finding)
        if to is not None and uri is None:
            message = "browsers without the Reporting API need report-uri"
            yield Placed(
                list_name, index, Finding(Severity.INFO, "report-to-only", message, to.name)
            )
