"""A profile's policies as headers (CSP Level 3 §3.1, §3.2).

Validated policies (``sidecar.csp.language``) become the values of two headers: the enforced and
the report-only ones. Several policies in one value are joined by commas, which a browser reads
like several headers: all of them apply. (Two headers of one name would not work: Envoy, told to
replace, keeps only the last.)
"""

from collections.abc import Sequence

from sidecar.csp.language import Kind, Policy, parse_source
from sidecar.csp.language.narrow import covers

ENFORCED = "content-security-policy"
REPORT_ONLY = "content-security-policy-report-only"
NOTHING = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of a body that is not a page: the sidecar's own denials."""
_SELF = parse_source("'self'")


class CompiledProfile:
    """The policies of one profile."""

    __slots__ = ("enforced", "has_nonce", "report_only")

    def __init__(self, enforced: Sequence[Policy], report_only: Sequence[Policy] = ()) -> None:
        self.enforced = tuple(enforced)
        self.report_only = tuple(report_only)
        self.has_nonce = any(policy.has_nonce for policy in (*enforced, *report_only))

    def render(
        self, tenant_domain: str | None, nonce: str | None = None
    ) -> list[tuple[str, bytes]]:
        """Return the headers for a page of this tenant (``None``: of no tenant).

        ``nonce`` is a nonce, or ``nonce.NONCE_SLOT`` for a template; without one the sources that
        need it are omitted.
        """
        return [
            (name, ", ".join(each.render(tenant_domain, nonce) for each in policies).encode())
            for name, policies in ((ENFORCED, self.enforced), (REPORT_ONLY, self.report_only))
            if policies
        ]

    def frame_options(self) -> bytes | None:
        """Return ``X-Frame-Options`` for browsers that don't know ``frame-ancestors``.

        It can say less (RFC 7034 §2.1): where the policies name other hosts, those browsers
        are told the stricter thing. ``None`` where every page may frame this one.
        """
        value: bytes | None = None
        for policy in self.enforced:
            rule = policy.directives.get("frame-ancestors")
            if rule is None or any(source.text == "*" for source in rule.sources):
                continue
            listed = [source for source in rule.sources if source.kind is not Kind.NONE]
            if not any(covers(source, _SELF) for source in listed):
                return b"DENY"
            value = b"SAMEORIGIN"
        return value
