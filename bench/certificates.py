"""The sidecar's SDS with certificates in memory: the server that ``bench.sds`` measures.

The certificates are real ones, each with a key of its own, signed here; SIGUSR1 renews all.
"""

import asyncio
import signal
import time
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sidecar.certificates.managed.store import CertificateStore
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from workload.x509.material import Material


def name_of(number: int) -> str:
    """Return the name of a certificate."""
    return f"tenant-{number:05}.septemcore.com"


async def serve_certificates(count: int, address: str) -> GrpcServer:
    """Start SDS with so many certificates."""
    store = CertificateStore(time.time)
    for number in range(count):
        store.put(name_of(number), self_signed(name_of(number)))
    renewed = [self_signed(name_of(number)) for number in range(count)]

    def renew() -> None:
        for number in range(count):
            held = store.get(name_of(number))
            store.put(name_of(number), renewed[number])
            assert held is not None
            renewed[number] = held

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, renew)
    events = SdsEvents(lambda _: None, lambda _: None, lambda _node, _words: None)
    service = SdsService(store, events)
    server = GrpcServer(address, SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304)
    await server.start()
    return server


def self_signed(name: str) -> Material:
    """Make a certificate for a day, as long as Vault's would be."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Material(
        chain_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=(name,),
        serial=f"{certificate.serial_number:x}",
        not_before=now.timestamp() - 60,
        not_after=now.timestamp() + 86_400,
    )
