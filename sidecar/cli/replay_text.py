"""What ``sidecar replay`` found, for people: what widens access first."""

from collections.abc import Iterator, Sequence
from typing import Any

from sidecar.common.printable import printable
from sidecar.common.reason_texts import reasons

_TITLES = {
    "gained": "WOULD GAIN ACCESS",
    "lost": "WOULD LOSE ACCESS",
    "changed": "WOULD BE DECIDED OTHERWISE, with the same access",
    "unknown": "CAN'T BE DECIDED from their lines",
}
_WORDS = {
    "gained": "would gain access",
    "lost": "would lose access",
    "changed": "changed",
    "unknown": "unknown",
    "same": "same",
}
_MAX_UNLIKE = 5


def show(found: dict[str, Any], top: int, audit: str) -> None:
    """Print a report of ``sidecar.replay.run``; its texts are of a log and not trusted."""
    for line in _lines(found, top, audit):
        print(printable(line))


def _lines(found: dict[str, Any], top: int, audit: str) -> Iterator[str]:
    yield f"{found['requests']:,} requests from {found['from']} to {found['until']}"
    yield f"decided by {found['config']}, compared with {found['against']}"
    yield ""
    for verdict, words in _WORDS.items():
        counted = found[verdict]
        subjects = "" if verdict == "same" else _subjects(counted["subjects"])
        yield f"  {words:18} {counted['requests']:>12,}{subjects}"
    for verdict, title in _TITLES.items():
        groups = [each for each in found["groups"] if each["verdict"] == verdict]
        if groups:
            yield ""
            yield title
            yield from _groups(groups, top, audit)
    yield from _unlike(found["unlike_recorded"])
    yield from _notes(found)


def _groups(groups: Sequence[dict[str, Any]], top: int, audit: str) -> Iterator[str]:
    for each in groups[:top]:
        yield from _group(each, audit)
    if rest := groups[top:]:
        requests = sum(each["requests"] for each in rest)
        yield f"  and {len(rest):,} more groups with {requests:,} requests (--top, --json)"


def _group(each: dict[str, Any], audit: str) -> Iterator[str]:
    before, after = each["before"], each["after"]
    tenant = each["tenant"] or "(no tenant known)"
    counted = f"{each['requests']:,} of {each['of_requests']:,} requests"
    more = " or more" if each["subjects_are_more"] else ""
    yield f"  route {each['route']}, tenant {tenant}: {counted}{_subjects(each['subjects'])}{more}"
    yield f"    before  {_outcome(before)}"
    if each["verdict"] == "unknown":
        yield f"    open    {each['cause']}"
    else:
        yield f"    after   {_outcome(after)}"
        if each["cause"]:
            yield f"    by      {each['cause']}"
        told = after if each["verdict"] == "lost" else before
        meaning = reasons().get(told.get("shadow_reason", told["reason"]))
        if meaning is not None and each["verdict"] in {"lost", "gained"}:
            yield f"    {told['reason']}: {meaning['means']}"
    if each["examples"]:
        yield f"    see     sidecar explain {each['examples'][0]} --audit {audit}"


def _outcome(outcome: dict[str, Any]) -> str:
    shadow = f", {outcome['shadow_reason']}" if "shadow_reason" in outcome else ""
    reason = outcome["reason"] if outcome.get("reason_is_certain", True) else "denied"
    return f"{outcome['access']} {outcome['status']} {reason}{shadow} (route {outcome['route']})"


def _subjects(number: int) -> str:
    return f", {number:,} subject{'' if number == 1 else 's'}" if number else ""


def _unlike(unlike: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not unlike:
        return
    requests = sum(each["requests"] for each in unlike)
    yield ""
    yield (
        f"{requests:,} requests were decided otherwise when they were recorded than the old "
        "configuration decides them: by another configuration, or in another state"
    )
    for each in unlike[:_MAX_UNLIKE]:
        yield f"  recorded {each['recorded']}, now {each['old']}: {each['requests']:,}"


def _notes(found: dict[str, Any]) -> Iterator[str]:
    yield ""
    if found["skipped_lines"]:
        yield f"{found['skipped_lines']:,} lines are no decisions, and were skipped."
    if found["lost_lines"]:
        yield f"{found['lost_lines']:,} lines are missing, by the log's own word (lines_lost)."
    if found["lines_without_inputs"]:
        yield (
            f"{found['lines_without_inputs']:,} allowed requests have no inputs: set "
            "audit.record_inputs, or give the configuration of then with --against."
        )
    share = found["sampled_share"]
    if share is not None:
        yield (
            f"The log has about {share:.1%} of the allowed requests (audit.sample_allowed): "
            "their true numbers are larger by that, and rate limits met less than there was."
        )
    if found["logins_not_counted"]:
        yield (
            f"{found['logins_not_counted']:,} requests are on routes with limits of logins, "
            "which are not simulated: no line says whose login it was."
        )
    yield (
        "Keys, revocations, and what is read from Vault or a registry are taken as they were "
        "when the lines were written."
    )
