"""A profile's policies, ready to become headers (CSP Level 3 §3.1, §3.2).

Checked policies come in (``sidecar.csp``), the values of two headers come out: what is
enforced, and what is only watched. Several policies in one value are joined by commas,
which a browser reads as it reads several headers: all of them hold.
"""

from collections.abc import Sequence

from sidecar.csp import Policy

ENFORCED = "content-security-policy"
REPORT_ONLY = "content-security-policy-report-only"
NOTHING = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""What goes with a body that no page is made of: our own refusals."""
NONCE_CHARACTERS = 24
NONCE_SLOT = "\0" * NONCE_CHARACTERS
"""Stands where a nonce will: as long as one, and found nowhere else in a header."""

HeaderValues = list[tuple[str, bytes]]


class CompiledProfile:
    """The policies of one profile."""

    __slots__ = ("_beside", "enforced", "has_nonce", "report_only")

    def __init__(
        self,
        enforced: Sequence[Policy],
        report_only: Sequence[Policy] = (),
        beside: HeaderValues | None = None,
    ) -> None:
        """``beside`` are headers that go wherever these policies go."""
        self._beside = beside or []
        self.enforced = tuple(enforced)
        self.report_only = tuple(report_only)
        self.has_nonce = any(policy.has_nonce for policy in (*enforced, *report_only))

    def render(self, tenant_domain: str | None, nonce: str | None = None) -> HeaderValues:
        """Return the headers for a page of this tenant (``None``: of none).

        ``nonce`` is one, or ``NONCE_SLOT`` for a template; without one the sources that ask
        for it fall away.
        """
        return [
            (name, ", ".join(each.render(tenant_domain, nonce) for each in policies).encode())
            for name, policies in ((ENFORCED, self.enforced), (REPORT_ONLY, self.report_only))
            if policies
        ] + self._beside
