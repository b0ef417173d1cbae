"""Certificates that answer tls-alpn-01 (RFC 8737): one per name, while its order is in flight.

A CA connects with the ALPN protocol ``acme-tls/1`` and the name as SNI, and expects a
certificate for exactly that name with the digest of the key authorization in it. Envoy sends
such connections to a separate filter chain, whose certificates it asks for on demand, by name.
Any sidecar of the fleet can make one: it is self-signed, and nobody trusts it.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.on_demand.on_demand import OBTAINING, Obtaining
from sidecar.common.clock import Now
from sidecar.common.faults import report_to_loop
from sidecar.common.observers import Observers
from workload.x509.material import Material

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTET_STRING_OF_32 = b"\x04\x20"
MAX_NAMES = 1000
"""The most names whose certificates are cached, as many as challenges can be in flight."""
MISS_SECONDS = 1.0
"""How long a name without an order is not looked for again."""
HOLD_SECONDS = 10.0
"""How long an Envoy keeps the certificate of another sidecar's order; a CA connects at once."""
_COMMON_NAME = "ACME challenge"
_LIFE = timedelta(days=1)


class ChallengeCertificates:
    """An on-demand source of SDS that makes the certificate of a name when it is asked for.

    Without a solver no name is in flight; a reload may bring the first one.
    """

    def __init__(
        self, solver: DistributedSolver | None, *, now: Now, clock: Callable[[], float]
    ) -> None:
        self._now = now
        self._clock = clock
        self._made: dict[str, tuple[Challenge, Material]] = {}
        self._missed: dict[str, float] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._observers: Observers[str] = Observers()
        self._solver: DistributedSolver | None = None
        if solver is not None:
            self.use(solver)

    def use(self, solver: DistributedSolver) -> None:
        """Serve the challenges of this solver from now on."""
        self._solver = solver
        solver.on_own_change = self._own_changed

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        """Return the certificate of a name in flight; ``None`` if there is none.

        If the client waits, the fleet's challenges are read, at most once per name and
        ``MISS_SECONDS``.
        """
        challenge = self._find_own(name)
        held = self._made.get(name)
        if challenge is None and held is not None and held[0].until > self._now():
            challenge = held[0]
        if challenge is not None:
            return self._material(name, challenge)
        self._made.pop(name, None)
        if not waits or self._missed.get(name, -MISS_SECONDS) > self._clock() - MISS_SECONDS:
            return None
        if name not in self._looking:
            if len(self._looking) >= MAX_NAMES:
                return None
            self._looking[name] = asyncio.create_task(self._look(name))
        return OBTAINING

    def refuses(self, name: str) -> bool:
        """Tell whether a name has no challenge, as far as is known."""
        return self._find_own(name) is None and name not in self._made

    def could_serve_again(self, _name: str) -> bool:
        """Return True: these certificates have no use after their order."""
        return True

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call ``changed`` when it is known whether a name is in flight; return what ends this."""
        return self._observers.watch(changed)

    async def close(self) -> None:
        """Cancel all look-ups."""
        tasks = tuple(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find_own(self, name: str) -> Challenge | None:
        return None if self._solver is None else self._solver.find_own(name)

    async def _look(self, name: str) -> None:
        """Look for a name in the fleet's list, and notify those who wait whatever the outcome."""
        try:
            found = None if self._solver is None else await self._solver.find_host(name)
            if found is None:
                self._miss(name)
            else:
                self._material(name, found)
                # Envoy keeps a certificate; the next order must not find this one still there.
                asyncio.get_running_loop().call_later(HOLD_SECONDS, self._own_changed, name)
        except Exception as exc:  # noqa: BLE001 - the edge of a task: a handshake waits for its end
            report_to_loop(exc)
        finally:
            self._looking.pop(name, None)
        self._notify(name)

    def _miss(self, name: str) -> None:
        if len(self._missed) >= MAX_NAMES:
            self._missed.clear()
        self._missed[name] = self._clock()

    def _own_changed(self, name: str) -> None:
        """Drop the certificate of a name, and let its clients ask again."""
        self._made.pop(name, None)
        self._missed.pop(name, None)
        self._notify(name)

    def _notify(self, name: str) -> None:
        self._observers.notify(name)

    def _material(self, name: str, challenge: Challenge) -> Material:
        held = self._made.get(name)
        if held is None or held[0].answer != challenge.answer:
            if len(self._made) >= MAX_NAMES:
                self._made.clear()
            held = self._made[name] = (challenge, make_certificate(challenge, self._now()))
        return held[1]


def make_certificate(challenge: Challenge, now: float) -> Material:
    """Make the certificate that proves a challenge (RFC 8737 §3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME)])
    digest = hashlib.sha256(challenge.answer.encode("ascii")).digest()
    start = datetime.fromtimestamp(now, UTC) - _LIFE
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(subject)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + 2 * _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(challenge.host)]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, _OCTET_STRING_OF_32 + digest),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return Material(
        chain_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=(challenge.host,),
        serial=f"{certificate.serial_number:x}",
        not_before=start.timestamp(),
        not_after=(start + 2 * _LIFE).timestamp(),
    )
