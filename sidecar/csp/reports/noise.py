"""Reports that are not about the page: those of browser extensions and similar programs.

An extension's script runs in the page, so the page's policy stops what it loads and the
browser reports it to us. The lists are short: each entry is a scheme that only a browser's
own parts have, or a host that a program on the user's machine injects by that name.
"""

from sidecar.csp.reports.origin import host_of
from sidecar.csp.reports.parse import Violation

EXTENSION_SCHEMES = frozenset(
    {
        "chrome",
        "chrome-extension",
        "edge",
        "moz-extension",
        "ms-browser-extension",
        "resource",  # Firefox's own parts
        "safari-extension",
        "safari-web-extension",
        "user-script",  # Firefox and Safari, user scripts
        "webkit-masked-url",  # Safari hides an extension's URL behind this
    }
)
_BROWSERS_OWN = "about"
"""Pages of the browser's own (``about:newtab``), and what it stops by itself (``about:blank``).

As the source of a violation it is a script of a page's own frame (``about:srcdoc``).
"""
INJECTING_DOMAINS = (
    "kaspersky-labs.com",  # Kaspersky's web protection: gc.kis.v2.scr.kaspersky-labs.com
    "local.adguard.org",  # AdGuard's desktop filter
)


def is_noise(violation: Violation) -> bool:
    """Tell whether an extension or another program on the user's machine caused a report."""
    if _BROWSERS_OWN in (violation.blocked, violation.document):
        return True
    return any(
        where in EXTENSION_SCHEMES or _injected(host_of(where))
        for where in (violation.blocked, violation.source, violation.document)
    )


def _injected(host: str) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in INJECTING_DOMAINS)
