"""Content-Security-Policy: from directives to the header's value (CSP Level 3 §2.2).

A profile is rendered once, when the configuration is loaded. What varies by request is
only the tenant's own domain, the source ``{tenant_domain}``: known, it stands there as
a host; unknown, the source falls away, which can only narrow a policy. A directive left
without any source becomes ``'none'``, never an empty (and so also blocking, but
unreadable) list.
"""

from collections.abc import Mapping

TENANT_DOMAIN = "{tenant_domain}"
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""What goes with a body that no page is made of: our own refusals."""


class CspProfile:
    """One named policy, able to be rendered for a tenant."""

    __slots__ = ("_parts", "_without_tenant")

    def __init__(self, directives: Mapping[str, tuple[str, ...]]) -> None:
        self._parts = tuple(directives.items())
        self._without_tenant = self._render(None)

    def render(self, tenant_domain: str | None) -> str:
        """Return the header's value for pages of this tenant (``None``: of none)."""
        if tenant_domain is None:
            return self._without_tenant
        return self._render(tenant_domain)

    def _render(self, tenant_domain: str | None) -> str:
        return "; ".join(_directive(name, given, tenant_domain) for name, given in self._parts)


def _directive(name: str, given: tuple[str, ...], tenant_domain: str | None) -> str:
    sources = [source for source in given if TENANT_DOMAIN not in source]
    if tenant_domain is not None:
        sources = [source.replace(TENANT_DOMAIN, tenant_domain) for source in given]
    if given and not sources:
        sources = ["'none'"]
    return " ".join((name, *sources))
