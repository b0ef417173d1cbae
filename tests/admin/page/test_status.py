"""The sentence at the top: ready or not, the worst first, and each cause once."""

import pytest

from sidecar.admin.page.status import Status, health_findings, status_of
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Panel, PanelFinding

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO


def finding(part: str, severity: Severity = WARNING, cause: str = "") -> PanelFinding:
    return PanelFinding(severity, part, f"{part} is wrong", 5.0, f"mend {part}", cause)


def status(*findings: PanelFinding, problems: dict[str, str] | None = None) -> Status:
    problems = problems or {}
    since = dict.fromkeys(problems, 7.0)
    return status_of(problems, since, 9.0, [("vault", Panel("", findings))])


HEADLINES = [
    ("nothing", [], {}, "Ready"),
    ("worth a look", [finding("a", INFO)], {}, "Ready, and something is worth a look"),
    ("a warning", [finding("a", INFO), finding("b")], {}, "Ready, and something needs you"),
    ("critical", [finding("a"), finding("b", CRITICAL)], {}, "Ready, and something needs you now"),
    ("critical by what follows", [finding("vault"), finding("b", CRITICAL, "vault")], {},
     "Ready, and something needs you now"),
    ("not ready", [], {"workers": "none serves"}, "Not ready"),
    ("starting", [], {"start": "waits for x", "workers": "none"}, "Starting"),
    ("ending", [], {"drain": "shutting down", "start": "x"}, "Shutting down"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "problems", "headline"), [h[1:] for h in HEADLINES], ids=[h[0] for h in HEADLINES]
)
def test_the_state_in_a_few_words(
    findings: list[PanelFinding], problems: dict[str, str], headline: str
) -> None:
    found = status(*findings, problems=problems)
    assert found.headline == headline
    assert found.ready is not bool(problems)


def test_what_keeps_it_from_being_ready_comes_first_then_the_worst() -> None:
    found = status(
        finding("info", INFO), finding("warning"), finding("critical", CRITICAL),
        problems={"start": "waits for Vault"},
    )  # fmt: skip
    parts = [each.finding.part for each in found.findings]
    assert parts == ["start", "critical", "warning", "info"]
    assert found.findings[0].finding.since == 7.0


def test_what_follows_from_a_cause_is_put_under_it() -> None:
    found = status(finding("keys", cause="vault"), finding("vault"), finding("other", cause="gone"))
    assert [each.finding.part for each in found.findings] == ["vault", "other"]
    assert [each.part for each in found.findings[0].follows] == ["keys"]


def test_each_part_is_said_once_and_the_health_has_the_first_word() -> None:
    found = status(finding("workers"), finding("keys"), finding("keys", CRITICAL),
                   problems={"workers": "none serves"})  # fmt: skip
    assert [each.finding.part for each in found.findings] == ["workers", "keys"]
    assert "none serves" in found.findings[0].finding.wrong
    assert found.findings[1].severity is WARNING


@pytest.mark.parametrize(
    "part", ["start", "drain", "workers", "checks", "audit", "certificates", "x"]
)
def test_every_part_of_the_health_says_what_to_do(part: str) -> None:
    (found,) = health_findings({part: "a problem"}, {part: 3.0})
    assert "a problem" in found.wrong
    assert found.since == 3.0
    assert len(found.do) > 20
