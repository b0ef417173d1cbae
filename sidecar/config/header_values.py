"""Checks of header values with their own grammar: HSTS, Permissions-Policy, origins.

Each function yields a message for each thing that is wrong with a value.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches

_YEAR_SECONDS = 31_536_000
_HSTS_DIRECTIVE = re.compile(r"[A-Za-z-]+(?:=(?:[0-9]+|\"[0-9]+\"))?")
_HOST = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_ORIGIN = re.compile(
    rf"(?P<scheme>https?)://(?P<host>(?:\*\.)?{_HOST})(?::(?P<port>[0-9]{{1,5}}))?"
)
_LOCAL = re.compile(r"localhost|127\.0\.0\.1|.*\.localhost")
_DEFAULT_PORTS = {"https": "443", "http": "80"}
_LAST_PORT = 65_535
_FEATURE = re.compile(r"[a-z*][a-z0-9_.*-]*")
_MEMBER = re.compile(
    r"(?P<feature>[^=]+)=(?P<list>\([^()]*\)|\*|self|\"[^\"]*\")(?:;report-to=[a-z][a-z0-9_-]*)?"
)
_ALLOWED = re.compile(r"self|src|\*|\"[^\"\\]*\"")
_FEATURES = (
    "accelerometer", "ambient-light-sensor", "attribution-reporting", "autoplay", "battery",
    "bluetooth", "browsing-topics", "camera", "captured-surface-control", "clipboard-read",
    "clipboard-write", "compute-pressure", "cross-origin-isolated", "deferred-fetch",
    "display-capture", "document-domain", "encrypted-media", "execution-while-not-rendered",
    "execution-while-out-of-viewport", "fullscreen", "gamepad", "geolocation", "gyroscope", "hid",
    "identity-credentials-get", "idle-detection", "interest-cohort", "join-ad-interest-group",
    "keyboard-map", "language-model", "local-fonts", "local-network-access", "magnetometer",
    "microphone", "midi", "navigation-override", "otp-credentials", "payment",
    "picture-in-picture", "private-state-token-issuance", "private-state-token-redemption",
    "publickey-credentials-create", "publickey-credentials-get", "run-ad-auction",
    "screen-wake-lock", "serial", "shared-storage", "smart-card", "speaker-selection",
    "storage-access", "summarizer", "sync-xhr", "translator", "unload", "usb", "vertical-scroll",
    "web-share", "window-management", "xr-spatial-tracking",
)  # fmt: skip
"""Features that browsers know or knew; a name that is nearly one of them is a typo."""
_NEARLY = 0.85


def hsts_problems(value: str) -> Iterator[str]:
    """RFC 6797 §6.1; and what the preload list asks of those that say ``preload``."""
    directives = [each.strip() for each in value.split(";")]
    for each in directives:
        if not _HSTS_DIRECTIVE.fullmatch(each):
            yield f"{each!r} is not a directive of HSTS (max-age, includeSubDomains, preload)"
            return
    names = [each.partition("=")[0].lower() for each in directives]
    if len(names) != len(set(names)):
        yield "has a directive twice"
    for name in names:
        if name not in {"max-age", "includesubdomains", "preload"}:
            yield f"{name} is not a directive of HSTS (max-age, includeSubDomains, preload)"
    if "max-age" not in names:
        yield "has no max-age"
        return
    seconds = directives[names.index("max-age")].partition("=")[2].strip('"')
    if not seconds:
        yield "has no seconds in max-age"
    elif "preload" in names and (int(seconds) < _YEAR_SECONDS or "includesubdomains" not in names):
        yield f"preload needs includeSubDomains and a max-age of {_YEAR_SECONDS} or more"


def permissions_problems(value: str) -> Iterator[str]:
    """Permissions-Policy §5.2: a dictionary of RFC 9651, from features to allowlists."""
    seen = set()
    for member in value.split(","):
        match = _MEMBER.fullmatch(member.strip(" "))
        if match is None:
            yield f"{member.strip()!r} is not feature=(…), feature=* or feature=self"
            continue
        feature = match["feature"]
        if not _FEATURE.fullmatch(feature):
            yield f"{feature!r} is not a valid feature name"
        elif feature not in _FEATURES:
            close = get_close_matches(feature, _FEATURES, 1, _NEARLY)
            if close:
                yield f"{feature} is not a feature; did you mean {close[0]}?"
        if feature in seen:
            yield f"{feature} is listed twice, and only the last would count"
        seen.add(feature)
        yield from _allowlist_problems(feature, match["list"])


def _allowlist_problems(feature: str, written: str) -> Iterator[str]:
    for entry in written.strip("()").split():
        if not _ALLOWED.fullmatch(entry):
            hint = '; an origin is written in double quotes, "https://example.com"'
            yield f"{feature}: {entry} is neither self, src, * nor an origin{hint}"
        elif entry.startswith('"') and (wrong := origin_problem(entry.strip('"'))):
            yield f"{feature}: {entry} {wrong}"


def origin_problem(origin: str) -> str | None:
    """Return why this origin can't be used (RFC 6454 §6.2); ``None`` if it can."""
    if origin == "null":
        return "is what sandboxed and local pages send, so any page can be null"
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return "is not an origin: write scheme://host[:port] in lower case, with nothing after it"
    scheme, port = match["scheme"], match["port"]
    if port == _DEFAULT_PORTS[scheme]:
        return f"names the default port, which a browser leaves out: {scheme}://{match['host']}"
    if port is not None and not 0 < int(port) <= _LAST_PORT:
        return f"{port} is not a port"
    if scheme == "http" and not _LOCAL.fullmatch(match["host"]):
        return "is not https: anyone on the network could be that page"
    return None
