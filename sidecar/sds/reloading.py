"""The reload of certificates, configured and on demand, and of how long Envoys hold the latter."""

import random

from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.managed.reloading import PreparedCertificates
from sidecar.certificates.on_demand.component import OnDemandComponent, PreparedOnDemand
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.config.on_demand import OnDemandSettings
from sidecar.context import AppContext, PreparedPart
from sidecar.sds.service import SdsService
from sidecar.sds.stream import EvictionPolicy


class CertificatesReload:
    """Both kinds of certificates share issuers and the store, and are exchanged together."""

    def __init__(
        self,
        context: AppContext,
        certificates: Certificates,
        on_demand: OnDemandComponent | None,
        sds: SdsService,
    ) -> None:
        self._context = context
        self._certificates = certificates
        self._on_demand = on_demand
        self._sds = sds

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Obtain what other settings name; nothing changes meanwhile. Raises ``Fault``."""
        certificates = await self._certificates.prepare(config)
        on_demand: PreparedOnDemand | None = None
        if self._on_demand is not None:
            try:
                on_demand = await self._on_demand.prepare(config, certificates.parts.issuers)
            except BaseException:
                self._certificates.abandon(certificates)
                raise
        return PreparedPart(
            lambda: self._adopt(certificates, on_demand),
            lambda: self._certificates.abandon(certificates),
        )

    def _adopt(self, prepared: PreparedCertificates, on_demand: PreparedOnDemand | None) -> None:
        before = self._certificates.configured
        # A name on demand that is configured now is forgotten before it is served as such.
        if self._on_demand is not None and on_demand is not None:
            configured, policy = prepared.parts.configured, eviction_policy(on_demand.settings)
            self._sds.use_on_demand(configured, policy)
            self._on_demand.adopt(self._context, on_demand)
        self._certificates.adopt(prepared)
        for name in before - prepared.parts.configured:
            self._sds.evict(name)  # whoever needs it asks again: it may be served on demand now


def eviction_policy(settings: OnDemandSettings) -> EvictionPolicy:
    """Return how long a client holds a name on demand, and how many names."""
    return EvictionPolicy(
        settings.ttl_seconds, settings.max_names, monotonic_seconds, random.random
    )
