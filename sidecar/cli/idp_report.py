"""What ``sidecar idp inspect`` says: what was found, what is refused and why, and the entry.

The lines are a YAML document: what is said stands in comments, and the entry is what was judged,
by the settings' own loader and the server's own rules.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sidecar.cli.idp_proposal import EntrySetting, Proposal, propose, propose_by_keys
from sidecar.cli.idp_sample import Explained, Sample, explain
from sidecar.cli.idp_trials import Trials, TrialVerdict, try_out
from sidecar.cli.idp_yaml import comment_lines, entry_lines
from sidecar.cli.token_evaluator import TokenEvaluator
from sidecar.common.errors import ConfigFault
from sidecar.config.load import parse_config
from sidecar.keys.key_set import SkipReason, read_key_set
from sidecar.keys.sources import KeyFault, parse_key_set
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.keyring import MAX_KEYS

_REST = """\
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /x}}
routes: [{name: all, path_prefix: /}]
tokens:
  issuers:
"""
"""What a configuration has beside the issuer; nothing of it decides about a token."""


class Found(NamedTuple):
    """What an issuer publishes about itself."""

    metadata_url: str
    jwks_uri: str
    key_set: str
    """A JWK Set, as text."""


class IssuerReport(NamedTuple):
    """What is known of an issuer, and of a sample of its tokens."""

    found: Found
    keys: Mapping[str, Any]
    """The setting ``keys`` of the entry."""
    proposal: Proposal
    sample: Sample | None
    trials: Trials | None
    is_past: bool
    """Whether the sample is over, and was judged as of its beginning."""

    @property
    def entry(self) -> list[str]:
        """The entry of ``tokens.issuers``, a line each."""
        return list(entry_lines(self.proposal, self.keys, self.proposal.settings))

    @property
    def explained(self) -> list[Explained]:
        """What is made of every claim of the sample."""
        return [] if self.sample is None else list(explain(self.sample, self.proposal.settings))


def make_report(
    issuer: str, found: Found, keys: Mapping[str, Any], sample: Sample | None, now: float
) -> IssuerReport:
    """Judge the sample as of ``now`` (Unix seconds), and propose the entry."""
    if sample is None:
        proposal = propose_by_keys(issuer, _algorithms(found.key_set))
        return IssuerReport(found, keys, proposal, None, None, is_past=False)
    proposal = propose(sample.header, sample.payload, issuer)
    at = sample.judged_at(now)
    trials = try_out(proposal.settings, _Judge(proposal, found, keys, sample.token, at).verdict)
    return IssuerReport(found, keys, proposal, sample, trials, is_past=at != now)


class _Judge(NamedTuple):
    """Judges the sample by the settings' own loader and the server's own rules."""

    proposal: Proposal
    found: Found
    keys: Mapping[str, Any]
    token: bytes
    at: float

    def verdict(self, settings: Sequence[EntrySetting]) -> TrialVerdict | None:
        lines = entry_lines(self.proposal, self.keys, settings)
        text = _REST + "".join(f"    {line}\n" for line in lines)
        try:
            config = parse_config(text, "the entry")
        except ConfigFault:
            return None
        (issuer,) = config.tokens.issuers
        algorithms = [ALGORITHMS[name] for name in issuer.algorithms]
        try:
            known = parse_key_set(self.found.key_set, issuer.issuer, algorithms, is_published=True)
        except KeyFault as fault:
            return TrialVerdict(ok=False, reason="no_key", detail=f"{self.found.jwks_uri} {fault}")
        result = TokenEvaluator(config, known.keys, None).judge(self.token, self.at)
        return TrialVerdict(result.ok, result.reason, result.detail)


def report_lines(report: IssuerReport, *, explained: bool) -> Iterator[str]:
    """Yield the report as YAML, everything but the entry in comments."""
    found = report.found
    yield from comment_lines(f"metadata: {found.metadata_url}")
    yield from comment_lines(f"keys: {found.jwks_uri}")
    for each in published_keys(found.key_set):
        yield from comment_lines(each, begin="#   ")
    yield from _verdict_lines(report)
    if explained:
        yield "# what is made of each claim:"
        for row in report.explained:
            kind = f" ({row.type})" if row.type else ""
            yield from comment_lines(f"{row.name}{kind}: {row.use}", begin="#   ")
    yield "# for tokens.issuers:"
    yield from report.entry


def _verdict_lines(report: IssuerReport) -> Iterator[str]:
    trials = report.trials
    if trials is None:
        return
    if report.is_past:
        yield "# the token is over, or not valid yet; it was judged as of its beginning"
    if trials.refusals:
        yield "# without settings of its own its tokens are denied:"
    for number, each in enumerate(trials.refusals, 1):
        end = f" -> {', '.join(each.mended_by)}" if each.mended_by else " -> no setting ends this"
        detail = f": {each.detail}" if each.detail else ""
        yield from comment_lines(f"{each.reason}{detail}{end}", begin=f"#   {number}. ")
    if trials.accepted:
        yield "# with this entry the token is accepted"
    else:
        yield "# also with this entry the token is denied"


def report_document(report: IssuerReport) -> dict[str, Any]:
    """Return the report for programs."""
    trials, found = report.trials, report.found
    return {
        "issuer": report.proposal.issuer,
        "metadata": found.metadata_url,
        "jwks_uri": found.jwks_uri,
        "keys": list(published_keys(found.key_set)),
        "accepted": None if trials is None else trials.accepted,
        "judged_as_of_its_beginning": report.is_past,
        "refused": [] if trials is None else [each._asdict() for each in trials.refusals],
        "claims": [each._asdict() for each in report.explained],
        "choose": {
            each.name: each.choose
            for each in (report.proposal.audiences, *report.proposal.settings)
            if each.choose
        },
        "entry": "\n".join(report.entry) + "\n",
    }


def published_keys(key_set: str) -> Iterator[str]:
    """Yield each key of a JWK Set in words, and then those that are odd under any algorithm."""
    listed = _listed(key_set)
    for jwk in listed:
        parts = [str(jwk[name]) for name in ("kty", "crv", "alg", "use") if name in jwk]
        yield f"{jwk.get('kid', 'no kid')}: {' '.join(parts)}"
    found = read_key_set(listed, None, list(ALGORITHMS.values()), is_published=True)
    for each in found.skipped:
        if each.reason in (SkipReason.PRIVATE, SkipReason.TWIN_KID):
            yield str(each)


def _algorithms(key_set: str) -> list[str]:
    return [str(jwk["alg"]) for jwk in _listed(key_set) if "alg" in jwk]


def _listed(key_set: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(key_set)
    except (ValueError, RecursionError):
        return []
    listed = value.get("keys") if isinstance(value, dict) else None
    listed = listed if isinstance(listed, list) else None
    return [each for each in (listed or ())[:MAX_KEYS] if isinstance(each, dict)]
