"""Hosts that make a script allow-list worthless: an attacker can have them serve a script.

Three kinds, each enough to run code in a page that trusts the host (Weichselbaum, Spagnuolo,
Lekies, Janc: "CSP Is Dead, Long Live CSP!", ACM CCS 2016, §3.2-3.4; Lekies et al.: "Code-Reuse
Attacks for the Web", CCS 2017, on frameworks as gadgets):

- a callback endpoint answers with ``callback(…)``, the callback's name taken from the URL;
- a library host serves every version of everything, so AngularJS 1 among it, whose
  templates run expressions;
- on a shared host anybody gets a name, a bucket or a folder.

The list is short on purpose: hosts of real policies, checked against their own public
documentation. A host that is not listed is not necessarily safe.
"""

from typing import NamedTuple

CALLBACKS = "answers with a callback of the caller's choice (JSONP)"
LIBRARIES = "serves any published library, AngularJS 1 among them"
SHARED = "serves files of anybody who has an account"
TAGS = "runs whatever tags its customers configure"


class Bypass(NamedTuple):
    """A host, or every name under it if ``below``, and why it is listed."""

    host: str
    why: str
    below: bool = False

    def matches(self, host: str) -> bool:
        """Tell whether a source's host (with or without ``*.``) includes this one."""
        if host.startswith("*."):
            return self.host.endswith(host[1:]) or (self.below and self._under(host[2:]))
        return host == self.host or (self.below and self._under(host))

    def _under(self, host: str) -> bool:
        return host == self.host or host.endswith(f".{self.host}")


BYPASSES = (
    *(
        Bypass(host, LIBRARIES)
        for host in (
            "ajax.aspnetcdn.com",
            "ajax.googleapis.com",
            "cdn.bootcdn.net",
            "cdn.jsdelivr.net",
            "cdn.skypack.dev",
            "cdnjs.cloudflare.com",
            "code.angularjs.org",
            "esm.sh",
            "ga.jspm.io",
            "unpkg.com",
            "yastatic.net",
        )
    ),
    *(
        Bypass(host, CALLBACKS)
        for host in (
            "accounts.google.com",
            "api.flickr.com",
            "apis.google.com",
            "cse.google.com",
            "en.wikipedia.org",
            "graph.facebook.com",
            "maps.googleapis.com",
            "suggestqueries.google.com",
            "translate.googleapis.com",
            "www.google.com",
            "www.googleapis.com",
            "www.youtube.com",
        )
    ),
    *(Bypass(host, TAGS) for host in ("www.googletagmanager.com", "tagmanager.google.com")),
    *(
        Bypass(host, SHARED, below=True)
        for host in (
            "amazonaws.com",
            "appspot.com",
            "azureedge.net",
            "blob.core.windows.net",
            "cloudfront.net",
            "firebaseapp.com",
            "github.io",
            "gitlab.io",
            "herokuapp.com",
            "netlify.app",
            "pages.dev",
            "r2.dev",
            "storage.googleapis.com",
            "vercel.app",
            "web.app",
            "workers.dev",
        )
    ),
)


def find_bypass(host: str) -> Bypass | None:
    """Return the entry that a source's host includes, if there is one.

    A last dot changes nothing: the name resolves to the same host.
    """
    host = host.removesuffix(".")
    return next((entry for entry in BYPASSES if entry.matches(host)), None)
