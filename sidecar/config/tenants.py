"""The settings of tenants: their own domains, and their own directives of policies."""

from typing import Annotated

from msgspec import Meta, field

from sidecar.config.base import DomainName, Label, Settings, Uuid
from sidecar.config.headers import CspDirectives
from sidecar.config.limits import RateSettings


class Tenant(Settings, frozen=True):
    """A tenant's own domain, its own directives of policies, and its own rate limit.

    ``csp`` has, by profile, the directives that replace the profile's on this tenant's pages:
    narrower ones, or additions where the profile allows them.
    """

    tenant_id: Uuid
    domain: DomainName
    csp: Annotated[dict[Label, CspDirectives], Meta(max_length=32)] = field(default_factory=dict)
    limit: RateSettings | None = None
