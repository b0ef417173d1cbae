"""Suggests additions to a policy from reports, as far as reports can be trusted.

Anyone can send reports, so they prove nothing. A suggestion is always one exact HTTPS origin,
seen often enough, on enough pages, by enough clients; never a keyword, a scheme, a wildcard, a
host that is a known way past policies, or a tenant's domain. And it is a proposal: a diff for
a person to read.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import msgspec

from sidecar.common.errors import Fault
from sidecar.csp.language import Policy, Source, parse_source
from sidecar.csp.language.narrow import covers
from sidecar.csp.lint.bypasses import find_bypass
from sidecar.csp.reports.origin import host_of

WIDENABLE = frozenset(
    {
        "child-src",
        "connect-src",
        "font-src",
        "form-action",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "script-src",
        "script-src-elem",
        "style-src",
        "style-src-elem",
        "worker-src",
    }
)
"""Directives that a report may ever widen."""
_SCRIPTS = frozenset({"script-src", "script-src-elem", "worker-src", "child-src"})
_SCHEMES = frozenset({"https", "wss"})
MAX_LINE = 65_536
MAX_LINES = 5_000_000


class _ReportLine(msgspec.Struct, frozen=True):
    """The fields of a forwarded report that are read."""

    time: str
    directive: str
    blocked: str
    disposition: str
    document_id: str
    client_id: str
    tenant: str


class _Row(msgspec.Struct, frozen=True):
    """The fields of a row of the table that are read."""

    last: float
    directive: str
    blocked: str
    disposition: str
    tenant: str
    count: int
    documents: int
    clients: int


class _Table(msgspec.Struct, frozen=True):
    rows: list[_Row]


_LINES = msgspec.json.Decoder(_ReportLine)


class Thresholds(NamedTuple):
    """The least evidence for a suggestion."""

    reports: int = 20
    documents: int = 2
    clients: int = 3


class Evidence(NamedTuple):
    """The evidence for one directive, origin and disposition."""

    directive: str
    blocked: str
    disposition: str
    reports: int
    documents: int
    clients: int
    tenants: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as text."""
        of = f" of {len(self.tenants)} tenants" if len(self.tenants) > 1 else " of one tenant"
        if self.tenants == ("",):
            of = ""
        return f"{self.reports} reports from {self.documents} pages{of}, {self.clients} clients"


class Suggestion(NamedTuple):
    """One source for one directive of one list of policies."""

    list_name: str
    number: int
    directive: str
    source: str
    new: bool
    """The directive is not in the policy; it is added, with what it fell back to."""
    evidence: Evidence


class RefusedSuggestion(NamedTuple):
    """A reported origin that is not suggested, and why."""

    evidence: Evidence
    why: str


def from_lines(lines: Iterable[bytes], since: float = 0.0) -> list[Evidence]:
    """Gather evidence from forwarded reports, JSON lines. Raises ``Fault`` at one that is none."""
    gathered: dict[tuple[str, str, str], list[_ReportLine]] = {}
    for number, line in enumerate(lines, 1):
        if number > MAX_LINES or len(line) > MAX_LINE:
            raise Fault(f"line {number}: more than can be read at once")
        try:
            seen = _LINES.decode(line)
            at = datetime.fromisoformat(seen.time).timestamp()
        except (ValueError, RecursionError, OverflowError, OSError) as exc:
            raise Fault(f"line {number} is no forwarded report") from exc
        if at >= since:
            key = (seen.directive, seen.blocked, seen.disposition)
            gathered.setdefault(key, []).append(seen)
    return [
        Evidence(
            *key,
            reports=len(all_seen),
            documents=len({seen.document_id for seen in all_seen}),
            clients=len({seen.client_id for seen in all_seen}),
            tenants=tuple(sorted({seen.tenant for seen in all_seen})),
        )
        for key, all_seen in gathered.items()
    ]


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Read lines, none of them longer than what ``from_lines`` refuses for its length."""
    while line := file.readline(MAX_LINE + 1):
        yield line


def from_table(document: Mapping[str, Any], since: float = 0.0) -> list[Evidence]:
    """Gather evidence from the running sidecar's table (``GET /csp/reports``).

    Pages of different tenants are different pages. Clients may be the same: the most of
    one row counts.
    """
    gathered: dict[tuple[str, str, str], list[_Row]] = {}
    try:
        table = msgspec.convert(document, _Table)
    except msgspec.ValidationError as exc:
        raise Fault("this is not the table of a sidecar of this version") from exc
    for row in table.rows:
        if row.last >= since:
            gathered.setdefault((row.directive, row.blocked, row.disposition), []).append(row)
    return [
        Evidence(
            *key,
            reports=sum(row.count for row in rows),
            documents=sum(row.documents for row in rows),
            clients=max(row.clients for row in rows),
            tenants=tuple(sorted({row.tenant for row in rows})),
        )
        for key, rows in gathered.items()
    ]


def suggest(
    found: Iterable[Evidence],
    enforced: list[Policy],
    report_only: list[Policy],
    thresholds: Thresholds,
    tenant_domains: frozenset[str],
) -> tuple[list[Suggestion], list[RefusedSuggestion]]:
    """Return the suggestions for a profile, and the refused ones, the most seen first."""
    suggestions: list[Suggestion] = []
    refused: list[RefusedSuggestion] = []
    for evidence in sorted(found, key=lambda each: (-each.reports, each)):
        why = next(_objections(evidence, thresholds, tenant_domains), None)
        if why is not None:
            refused.append(RefusedSuggestion(evidence, why))
            continue
        watched = evidence.disposition == "report"
        name, policies = ("report_only", report_only) if watched else ("enforced", enforced)
        proposed = list(_for_policies(evidence, name, policies))
        suggestions += proposed
        if not proposed:
            refused.append(
                RefusedSuggestion(evidence, "the policies allow it already, or do not speak of it")
            )
    return _once(suggestions), refused


def _objections(
    evidence: Evidence, thresholds: Thresholds, tenant_domains: frozenset[str]
) -> Iterator[str]:
    scheme, host = evidence.blocked.partition("://")[0], host_of(evidence.blocked)
    if not host:
        yield "it is no origin; nothing but an exact origin is ever proposed"
    if scheme not in _SCHEMES:
        yield "it is not HTTPS"
    if evidence.directive not in WIDENABLE:
        yield f"{evidence.directive} is not widened by reports"
    if _of_a_tenant(host, tenant_domains):
        yield "it is a tenant's domain; {tenant_domain} names a page's own tenant, and no other"
    if host.startswith("[") or host.replace(".", "").isdigit() or "." not in host:
        yield "it is no public name"
    bypass = find_bypass(host)
    if bypass is not None and evidence.directive in _SCRIPTS:
        yield f"{bypass.host} {bypass.why}"
    for name in ("reports", "documents", "clients"):
        if getattr(evidence, name) < getattr(thresholds, name):
            yield f"too little seen: {evidence}"


def _of_a_tenant(host: str, domains: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[n:]) in domains for n in range(len(labels)))


def _for_policies(
    evidence: Evidence, list_name: str, policies: list[Policy]
) -> Iterator[Suggestion]:
    source: Source = parse_source(evidence.blocked)
    for number, policy in enumerate(policies):
        governing = policy.effective(evidence.directive)
        if governing is None or any(covers(each, source) for each in governing.sources):
            continue
        # What falls back to default-src gets a line of its own; default-src is never widened.
        new = governing.name == "default-src"
        name = evidence.directive if new else governing.name
        if new:
            name = name.removesuffix("-elem")
        yield Suggestion(list_name, number, name, source.text, new, evidence)


def _once(suggestions: list[Suggestion]) -> list[Suggestion]:
    """Keep one of those that say the same: script-src and script-src-elem are often one list."""
    kept: dict[tuple[str, int, str, str], Suggestion] = {}
    for each in suggestions:
        kept.setdefault((each.list_name, each.number, each.directive, each.source), each)
    return list(kept.values())
