"""A header's value, as a server sends it, read for the lint.

Here the text is somebody's, and a browser reads it leniently: the first of two equal
directives holds, what it does not know it passes over (CSP Level 3 §2.2.1). So what the
configuration would refuse is a finding here, and the rest is judged.
"""

import re
from collections.abc import Iterator

from sidecar.csp import NONCE_SOURCE, Policy, parse_policy
from sidecar.csplint.finding import Finding, Severity

MIN_NONCE_CHARACTERS = 22
"""128 bits in base64 (CSP Level 3 §7.1)."""
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)


def read_header(value: str) -> tuple[list[Policy], list[Finding]]:
    """Return the policies of a header, and what is wrong with how they are written."""
    policies: list[Policy] = []
    findings: list[Finding] = []
    for text in value.split(","):
        if not text.strip(" ;\t"):
            continue
        directives: dict[str, list[str]] = {}
        findings += _read_one(text, directives)
        policy, wrong = parse_policy(directives)
        while policy is None and wrong:
            findings += (
                Finding(Severity.MEDIUM, "not-understood", each.message, each.directive or "")
                for each in wrong
            )
            bad = {(each.directive, each.position) for each in wrong}
            if not _without(directives, bad):
                break
            policy, wrong = parse_policy(directives)
        if policy is not None:
            policies.append(policy)
    return policies, findings


def _read_one(text: str, into: dict[str, list[str]]) -> Iterator[Finding]:
    for part in text.split(";"):
        words = part.split()
        if not words:
            continue
        name, values = words[0].lower(), words[1:]
        if name in into:
            message = "stands here twice; browsers take the first"
            yield Finding(Severity.MEDIUM, "directive-repeated", message, name)
            continue
        into[name] = []
        for value in values:
            nonce = _NONCE.fullmatch(value)
            if nonce is None:
                into[name].append(value)
                continue
            into[name].append(NONCE_SOURCE)
            if len(nonce[1].rstrip("=")) < MIN_NONCE_CHARACTERS:
                message = "a nonce of less than 128 bits can be guessed"
                yield Finding(Severity.MEDIUM, "nonce-short", message, name, value)


def _without(directives: dict[str, list[str]], bad: set[tuple[str | None, int | None]]) -> bool:
    """Take out what a browser would pass over; False if that changes nothing."""
    before = sum(len(values) + 1 for values in directives.values())
    for name in {name for name, _ in bad if name in directives}:
        positions = {position for other, position in bad if other == name}
        if positions == {None}:
            del directives[name]
        else:
            kept = [v for i, v in enumerate(directives[name]) if i not in positions]
            directives[name] = kept or ["'none'"]
    return sum(len(values) + 1 for values in directives.values()) < before
