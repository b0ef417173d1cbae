"""The values of directives without a source list: tokens, names, endpoints, or none."""

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from sidecar.csp.language.source import NotASourceError, check_characters

Fault = tuple[int | None, str]
"""The position of a bad value, if it is a single value, and the problem."""

_SANDBOX_TOKENS = frozenset(
    f"allow-{word}"
    for word in (
        "downloads", "forms", "modals", "orientation-lock", "pointer-lock", "popups",
        "popups-to-escape-sandbox", "presentation", "same-origin", "scripts",
        "storage-access-by-user-activation", "top-navigation",
        "top-navigation-by-user-activation", "top-navigation-to-custom-protocols",
    )
)  # fmt: skip
_TYPE_NAME = re.compile(r"[A-Za-z0-9\-#=_/@.%]+")
_TYPE_KEYWORDS = frozenset({"'none'", "'allow-duplicates'", "*"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_REPORT_URI = re.compile(r"(https?://[^/?#]+|/(?!/))[^#]*")


def check_values(name: str, values: Sequence[str]) -> list[Fault]:
    """Return the problems of the values of a directive in ``CHECKS``."""
    for index, text in enumerate(values):
        try:
            check_characters(text)
        except NotASourceError as exc:
            return [(index, str(exc))]
    return list(CHECKS[name](values))


def _sandbox(values: Sequence[str]) -> Iterator[Fault]:
    for index, text in enumerate(values):
        if text not in _SANDBOX_TOKENS:
            close = get_close_matches(text, _SANDBOX_TOKENS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield index, f"{text} lifts no restriction of a sandbox{hint}"


def _nothing(values: Sequence[str]) -> Iterator[Fault]:
    if values:
        yield None, "holds nothing: write []"


def _one_of(*choices: str) -> Callable[[Sequence[str]], Iterator[Fault]]:
    def check(values: Sequence[str]) -> Iterator[Fault]:
        if len(values) != 1 or values[0] not in choices:
            yield None, "holds exactly " + " or ".join(f'"{choice}"' for choice in choices)

    return check


def _trusted_types(values: Sequence[str]) -> Iterator[Fault]:
    """Trusted Types §4.3: names of policies."""
    if "'none'" in values and len(values) > 1:
        yield None, "'none' stands alone: beside others it is passed over"
    for index, text in enumerate(values):
        if text not in _TYPE_KEYWORDS and not _TYPE_NAME.fullmatch(text):
            yield index, f"{text} is no name of a policy, nor 'none', 'allow-duplicates' or *"


def _report_uri(values: Sequence[str]) -> Iterator[Fault]:
    if not values:
        yield None, "holds one URL or more"
    for index, text in enumerate(values):
        if not _REPORT_URI.fullmatch(text):
            yield index, "is neither http(s)://host/path nor /path"


def _report_to(values: Sequence[str]) -> Iterator[Fault]:
    if len(values) != 1 or not _TOKEN.fullmatch(values[0]):
        yield None, "holds the name of one endpoint"


CHECKS: dict[str, Callable[[Sequence[str]], Iterator[Fault]]] = {
    "sandbox": _sandbox,
    "upgrade-insecure-requests": _nothing,
    "require-trusted-types-for": _one_of("'script'"),
    "trusted-types": _trusted_types,
    "webrtc": _one_of("'allow'", "'block'"),
    "report-uri": _report_uri,
    "report-to": _report_to,
}
