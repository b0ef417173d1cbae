"""A source list, read as a browser reads it: invalid sources are ignored."""

import re
from collections.abc import Sequence

from sidecar.csp.language import NONCE_SOURCE, Kind, NotASourceError, Source, parse_source
from sidecar.csp.language.directive import out_of_place
from sidecar.csp.lint.finding import Finding, LintSeverity

MIN_NONCE_CHARACTERS = 22
"""128 bits in base64 (CSP Level 3 §7.1)."""
_BASE64 = r"[A-Za-z0-9+/_-]+={0,2}"
_NONCE = re.compile(rf"'nonce-({_BASE64})'", re.IGNORECASE)
_HASH = re.compile(r"'(sha(?:256|384|512))-([A-Za-z0-9+/_-]+)(={0,2})'", re.IGNORECASE)
_HOST = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<host>\*|(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)"
    r"(?::(?P<port>\*|[0-9]{1,5}))?(?P<path>/.*)?"
)
"""A host as the most lenient of the browsers reads it."""
_PATH_ENDS = re.compile(r"[?#]")


def read_sources(name: str, values: Sequence[str]) -> tuple[list[Source], list[Finding]]:
    """Return the sources that a browser finds in a directive's values, and the findings.

    The list is empty if no source is left, and if ``'none'`` is alone.
    """
    sources: list[Source] = []
    findings: list[Finding] = []
    for text in values:
        source, problem = _read(text)
        if source is not None and (misplaced := out_of_place(name, source)) is not None:
            source, problem = None, misplaced
        if problem is not None:
            findings.append(Finding(LintSeverity.MEDIUM, "not-understood", problem, name, text))
        if source is None:
            continue
        if source in sources:
            message = "stands here twice"
            findings.append(Finding(LintSeverity.LOW, "source-repeated", message, name, text))
            continue
        if _is_short_nonce(text):
            message = "a nonce of less than 128 bits can be guessed"
            findings.append(Finding(LintSeverity.MEDIUM, "nonce-short", message, name, text))
        sources.append(source)
    findings += _together(name, values, sources)
    return [source for source in sources if source.kind is not Kind.NONE], findings


def _read(text: str) -> tuple[Source | None, str | None]:
    """Return the source that a browser reads from a value, and the findings."""
    if _NONCE.fullmatch(text):
        return Source(Kind.NONCE, NONCE_SOURCE), None
    if "{" in text:
        return None, "no source has a brace; here variables have no meaning"
    try:
        return parse_source(text), None
    except NotASourceError as exc:
        return _lenient(text), str(exc)


def _lenient(text: str) -> Source | None:
    """Return a source that some browsers read although the grammar does not have it."""
    found = _HASH.fullmatch(text)
    if found is not None and len(found[2]) % 4 != 1:
        # Of another length or spelling it matches no script, and still ends 'unsafe-inline';
        # what can't be decoded at all is no hash for Chromium.
        return Source(Kind.HASH, f"'{found[1].lower()}-{found[2]}{found[3]}'")
    if _is_word(text) or (found := _HOST.fullmatch(text)) is None:
        return None
    scheme, host, port, path = (found[part] or "" for part in ("scheme", "host", "port", "path"))
    path = _PATH_ENDS.split(path, maxsplit=1)[0]
    whole = "".join((f"{scheme}://" if scheme else "", host, f":{port}" if port else "", path))
    return Source(Kind.HOST, whole.lower(), scheme.lower(), host.lower(), port, path)


def _is_word(text: str) -> bool:
    """Tell whether it is one label, which names no host of the web: ``self`` without quotes."""
    return "." not in text and "*" not in text and "/" not in text


def _is_short_nonce(text: str) -> bool:
    nonce = _NONCE.fullmatch(text)
    return nonce is not None and len(nonce[1].rstrip("=")) < MIN_NONCE_CHARACTERS


def _together(name: str, values: Sequence[str], sources: Sequence[Source]) -> list[Finding]:
    """Return the findings about sources in combination."""
    kinds, texts = {source.kind for source in sources}, {source.text for source in sources}
    found = []
    if not values:
        found.append((LintSeverity.INFO, "list-empty", "is empty: it is 'none'"))
    if Kind.NONE in kinds and len(sources) > 1:
        message = "'none' stands alone: beside others it is passed over"
        found.append((LintSeverity.MEDIUM, "not-understood", message))
    if "'strict-dynamic'" in texts and not kinds & {Kind.NONCE, Kind.HASH}:
        message = "'strict-dynamic' without a nonce or a hash blocks every script"
        found.append((LintSeverity.MEDIUM, "strict-dynamic-alone", message))
    if "'unsafe-hashes'" in texts and Kind.HASH not in kinds:
        message = "'unsafe-hashes' without a hash means nothing"
        found.append((LintSeverity.LOW, "unsafe-hashes-alone", message))
    return [Finding(severity, rule, message, name) for severity, rule, message in found]
