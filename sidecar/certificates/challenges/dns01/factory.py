"""Builds the dns-01 solver of an issuer."""

import asyncio

from sidecar.certificates.challenges.dns01.acme_dns import AcmeDnsWriter
from sidecar.certificates.challenges.dns01.rfc2136 import Rfc2136Writer
from sidecar.certificates.challenges.dns01.solver import Dns01Solver
from sidecar.certificates.challenges.dns01.writer import TxtWriter
from sidecar.common.clock import monotonic_seconds
from sidecar.config.dns01 import AcmeDnsUpdate, Dns01Settings, Rfc2136Update
from sidecar.vault.ports import KvReader


def make_dns01_solver(settings: Dns01Settings, vault: KvReader) -> Dns01Solver:
    """Return the solver, with the writer that the configuration names."""
    writer: TxtWriter
    match settings.update:
        case Rfc2136Update() as update:
            writer = Rfc2136Writer(update, vault)
        case AcmeDnsUpdate() as update:
            writer = AcmeDnsWriter(update, vault)
    return Dns01Solver(settings, writer, clock=monotonic_seconds, sleep=asyncio.sleep)
