"""Connects to the listener as a client would, and compares what it serves with what it was given.

Envoy may have acknowledged a secret and serve another: after a rejected secret, later updates
have been known to stop. And what was given may be what no client takes: an intermediate is missing,
or the CA is not one that clients believe. A mismatch is counted and raises an alert, which says the
difference; nothing else changes.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from cryptography import x509

from sidecar.certificates.managed.served import ServedChain, difference
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import Now
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.polling import PollStatus
from sidecar.config.certificates import PUBLIC_ROOTS, Probe
from workload.backoff import Backoff

_log = logging.getLogger("sidecar.certificates")
_DIAL_SECONDS = 3.0
_DIALS = Backoff(0.2, 2.0, growth=1.5)
_MAX_PROBES = 4
PUBLIC = b"public"
"""In the place of roots: those of this machine, which are the public CAs."""
Roots = bytes | None
"""Roots in PEM, ``PUBLIC``, or ``None`` where the chain is not verified."""


class Target(NamedTuple):
    """Where a certificate should be served, and the name (SNI) to ask for."""

    settings: Probe
    server_name: str
    has_name: bool = True
    """Whether clients know it by a host name or an address, and not by a SPIFFE ID alone."""


class ProbeView(NamedTuple):
    """What the last probe saw. Times are Unix seconds; ``since`` is that of this answer."""

    at: float
    since: float
    difference: str
    """What a client meets in place of what was given; empty for the same."""


class Prober:
    """Probes after every change of a certificate, and at an interval."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        store: CertificateStore,
        *,
        clock: Callable[[], float],
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        on_change: Callable[[str, bool, str], None],
    ) -> None:
        """``on_change`` is called with name, whether the probe matched, and the difference."""
        self.targets: Mapping[str, Target] = {}
        self._store = store
        self._clock = clock
        self._now = now
        self.anchors: Callable[[str], bytes | None] = lambda _bundle: None
        """Returns the roots of a trust bundle, PEM; ``None`` before they are read."""
        self._sleep = sleep
        self._on_change = on_change
        self._gate = asyncio.Semaphore(_MAX_PROBES)
        self._asked: dict[str, asyncio.Event] = {}
        self._tasks = KeyedTasks()
        self.status = PollStatus(
            "probes", "the probe of a listener", _log, kept="it is unknown what the listener serves"
        )
        self.healthy: dict[str, bool] = {}
        self.views: dict[str, ProbeView] = {}
        """What was seen last, by name."""
        self.outcomes = {"match": 0, "mismatch": 0}
        store.watch(self._changed)
        self.use(targets)

    def use(self, targets: Mapping[str, Target]) -> None:
        """Probe these from now on; a target that is the same goes on."""
        self.targets = targets
        self._asked = {name: self._asked.get(name) or asyncio.Event() for name in targets}
        for gone in self.healthy.keys() - targets.keys():
            del self.healthy[gone]
            self.views.pop(gone, None)
        self._tasks.use(
            {
                (name, target): partial(self._keep_probing, name, target)
                for name, target in targets.items()
            }
        )

    def roots_of(self, settings: Probe) -> Roots:
        """Return what a client of this listener believes."""
        if settings.roots is None or settings.roots == PUBLIC_ROOTS:
            return None if settings.roots is None else PUBLIC
        return self.anchors(settings.roots)

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
                seen = await look(
                    target.settings.address,
                    target.server_name,
                    self.roots_of(target.settings),
                    has_name=target.has_name,
                )
            held = self._store.get(name)
            if held is None:
                return
            found = difference(held, seen, target.server_name, self._now())
            is_healthy = not found
            if is_healthy or self._clock() > deadline:
                break
            dials += 1
            await self._sleep(_DIALS.pause_seconds(dials, 0.0))
        self.outcomes["match" if is_healthy else "mismatch"] += 1
        if is_healthy is not self.healthy.get(name, True):
            self._on_change(name, is_healthy, found)
        self.healthy[name] = is_healthy
        now, before = self._now(), self.views.get(name)
        is_same = before is not None and bool(before.difference) is bool(found)
        since = before.since if before is not None and is_same else now
        self.views[name] = ProbeView(now, since, found)


async def look(
    address: str, server_name: str, roots: Roots = None, *, has_name: bool = True
) -> ServedChain:
    """Return what a listener serves for a name, and whether a client takes it.

    With ``roots`` the handshake is first a client's, which verifies chain, name and dates.
    """
    refusal = ""
    if roots is not None:
        served = await _dial(address, server_name, _client_context(roots, has_name=has_name))
        if not isinstance(served, ssl.SSLCertVerificationError):
            return served
        whom = "the public roots" if roots == PUBLIC else "its trust bundle's roots"
        refusal = f"a client that believes {whom} rejects it: {served.verify_message}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    served = await _dial(address, server_name, context)
    if isinstance(served, ssl.SSLCertVerificationError):  # not with CERT_NONE
        return ServedChain((), failure=str(served))
    return served._replace(refusal=refusal)


async def served_serial(address: str, server_name: str) -> str:
    """Return the serial (hexadecimal) that a listener serves for a name, or why there is none."""
    return (await look(address, server_name)).serial


def _client_context(roots: bytes, *, has_name: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = has_name
    if roots == PUBLIC:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=roots.decode("ascii"))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor may be an intermediate
    return context


async def _dial(
    address: str, server_name: str, context: ssl.SSLContext
) -> ServedChain | ssl.SSLCertVerificationError:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=server_name
            )
    except ssl.SSLCertVerificationError as exc:
        return exc
    except (OSError, TimeoutError) as exc:
        return ServedChain((), failure=f"no handshake ({type(exc).__name__})")
    try:
        return ServedChain(_chain_of(writer.get_extra_info("ssl_object")))
    except ValueError:
        return ServedChain((), failure="no certificate that can be read")
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_DIAL_SECONDS):
                await writer.wait_closed()


def _chain_of(connection: Any) -> tuple[x509.Certificate, ...]:
    """Return what the listener sent, leaf first; the method is public from Python 3.13 on."""
    if hasattr(connection, "get_unverified_chain"):
        ders = connection.get_unverified_chain()
        return tuple(x509.load_der_x509_certificate(each) for each in ders)
    found = connection._sslobj.get_unverified_chain() or ()  # noqa: SLF001 - see above
    return tuple(x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in found)
