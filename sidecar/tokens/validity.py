"""When a token's times hold: the one place that compares them with the clock.

Sources: RFC 7519 §4.1.4 (``exp``: denied on and after it), §4.1.5 (``nbf``: accepted from it
on) and the same for ``iat``, each with the leeway that clocks which differ are given. The
rules of ``claims``, the one pass of ``plain``, the token cache and the Check's fast path ask
here; so does the end of a stream that ends with its token.
"""

import msgspec


class Validity(msgspec.Struct, gc=False):
    """A span of time, in Unix seconds, the leeway included: its start belongs to it, its end not.

    ``sidecar.tokens.cache.CachedToken`` inherits it, so that asking an entry is one call.
    """

    starts_at: float
    ends_at: float

    def holds_at(self, now: float) -> bool:
        """Return whether ``now`` (Unix seconds) lies within."""
        return self.starts_at <= now < self.ends_at

    def is_over_at(self, now: float) -> bool:
        """Return whether the end has come: it will never hold again."""
        return now >= self.ends_at


def validity_of(
    issued_at: float, not_before: float, expires_at: float, leeway_seconds: float
) -> Validity:
    """Return when a token with these claims (Unix seconds) is good."""
    return Validity(
        max(not_before - leeway_seconds, issued_at - leeway_seconds),
        expires_at + leeway_seconds,
    )
