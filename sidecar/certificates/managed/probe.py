"""Connects to the listener as a client would, and compares the serial that it serves.

Envoy may have acknowledged a secret and serve another: after a rejected secret, later updates
have been known to stop. A mismatch is counted and raises an alert; nothing else changes.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from cryptography import x509

from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.polling import PollStatus
from sidecar.config.certificates import Probe
from workload.backoff import Backoff

_log = logging.getLogger("sidecar.certificates")
_DIAL_SECONDS = 3.0
_DIALS = Backoff(0.2, 2.0, growth=1.5)
_MAX_PROBES = 4


class Target(NamedTuple):
    """Where a certificate should be served, and the name (SNI) to ask for."""

    settings: Probe
    server_name: str


class Prober:
    """Probes after every change of a certificate, and at an interval."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        store: CertificateStore,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        on_change: Callable[[str, bool, str], None],
    ) -> None:
        """``on_change`` is called with name, whether the probe matched, and what was served."""
        self.targets: Mapping[str, Target] = {}
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._on_change = on_change
        self._gate = asyncio.Semaphore(_MAX_PROBES)
        self._asked: dict[str, asyncio.Event] = {}
        self._tasks = KeyedTasks()
        self.status = PollStatus(
            "probes", "the probe of a listener", _log, kept="it is unknown what the listener serves"
        )
        self.healthy: dict[str, bool] = {}
        self.outcomes = {"match": 0, "mismatch": 0}
        store.watch(self._changed)
        self.use(targets)

    def use(self, targets: Mapping[str, Target]) -> None:
        """Probe these from now on; a target that is the same goes on."""
        self.targets = targets
        self._asked = {name: self._asked.get(name) or asyncio.Event() for name in targets}
        for gone in self.healthy.keys() - targets.keys():
            del self.healthy[gone]
        self._tasks.use(
            {
                (name, target): partial(self._keep_probing, name, target)
                for name, target in targets.items()
            }
        )

    def _changed(self, name: str) -> None:
        if name in self._asked:
            self._asked[name].set()

    async def run(self) -> None:
        """Probe until cancelled."""
        await self._tasks.run()

    async def _keep_probing(self, name: str, target: Target) -> None:
        asked = self._asked[name]
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), target.settings.every_seconds)
            asked.clear()
            with self.status.poll():
                if self._store.get(name) is not None:
                    await self._probe(name, target)

    async def _probe(self, name: str, target: Target) -> None:
        """Connect until the listener serves the current certificate, or the time is over."""
        deadline = self._clock() + target.settings.within_seconds
        dials = 0
        while True:
            async with self._gate:
                seen = await served_serial(target.settings.address, target.server_name)
            held = self._store.get(name)
            if held is None:
                return
            is_healthy = seen == held.serial
            if is_healthy or self._clock() > deadline:
                break
            dials += 1
            await self._sleep(_DIALS.pause_seconds(dials, 0.0))
        self.outcomes["match" if is_healthy else "mismatch"] += 1
        if is_healthy is not self.healthy.get(name, True):
            self._on_change(name, is_healthy, seen)
        self.healthy[name] = is_healthy


async def served_serial(address: str, server_name: str) -> str:
    """Return the serial (hexadecimal) that a listener serves for a name, or why there is none.

    The chain is not verified: the probe only asks whether it is the certificate we gave.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=server_name
            )
    except (OSError, TimeoutError) as exc:
        return f"no handshake ({type(exc).__name__})"
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return f"{x509.load_der_x509_certificate(der or b'').serial_number:x}"
    except ValueError:
        return "no certificate that can be read"
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_DIAL_SECONDS):
                await writer.wait_closed()
