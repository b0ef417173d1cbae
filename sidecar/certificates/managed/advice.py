"""When the issuer of a certificate wants it renewed (ACME Renewal Information, RFC 9773)."""

import logging

from sidecar.certificates.issuers.base import advise
from sidecar.certificates.managed.certificate import NEVER, ManagedCertificate
from sidecar.common.errors import Fault
from workload.x509.renewal import MIN_PAUSE_SECONDS

_log = logging.getLogger("sidecar.certificates")
_ASK_AGAIN_SECONDS = 3600.0
"""After a question about renewal that the issuer did not answer."""


async def follow_advice(managed: ManagedCertificate, now: float) -> None:
    """Follow the issuer's advice when to renew, if it gives any; ``now`` is Unix seconds."""
    material = managed.material
    managed.ask_at = NEVER
    if material is None:
        return
    planned = managed.try_at
    try:
        advice = await advise(managed.issuer, material)
    except Fault as fault:
        managed.ask_at = now + _ASK_AGAIN_SECONDS
        _log.info(
            "the issuer gave no renewal advice: %s", fault, extra={"certificate": managed.name}
        )
        return
    if advice is None:
        return
    managed.ask_at = max(advice.ask_again_at, now + MIN_PAUSE_SECONDS)
    # A renewal that was requested meanwhile is not delayed by the advice.
    if advice.renew_at is not None and managed.try_at == planned:
        wanted = min(advice.renew_at, material.not_after)
        managed.renew_at = managed.try_at = managed.not_before(wanted, now)
