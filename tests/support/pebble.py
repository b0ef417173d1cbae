"""A real Pebble (ACME CA) with its DNS, of Debian's package `pebble`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from demo.process import ManagedProcess, find_program, free_ports, listens

READY_SECONDS = 20.0


@dataclass
class Pebble:
    """A running Pebble. ``ca_file`` verifies its API, ``root_pem`` what it issues."""

    port: int
    management: int
    ca_file: str
    process: ManagedProcess
    dns: ManagedProcess
    dns_management: int
    dns_address: str

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def orders(self) -> int:
        """How many certificates were issued, by its log."""
        return sum("Issued certificate serial" in line for line in self.process.lines)

    def root_pem(self) -> str:
        url = f"https://127.0.0.1:{self.management}/roots/0"
        return requests.get(url, verify=self.ca_file, timeout=5).text

    def tell_dns(self, command: str, **body: Any) -> None:
        url = f"http://127.0.0.1:{self.dns_management}/{command}"
        requests.post(url, json=body, timeout=5).raise_for_status()


@contextmanager
def running_pebble(
    folder: Path,
    http_port: int,
    *,
    tls_port: int = 1,
    external: Mapping[str, str] | None = None,
    resolver: str = "",
) -> Iterator[Pebble]:
    """Start Pebble: it validates http-01 at ``http_port`` of 127.0.0.1, whatever the name.

    It asks ``resolver`` for TXT records, if there is one, and its own DNS otherwise.
    """
    package = "pebble (Debian's; tools/get-pebble)"
    program, dns_program = (find_program(n, package) for n in ("pebble", "pebble-challtestsrv"))
    folder.mkdir(parents=True, exist_ok=True)
    ca_file = make_server_certificate(folder)
    port, management, dns_port, dns_management = free_ports(4)
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "server.pem"),
        "privateKey": str(folder / "server.key"),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": external is not None,
        "externalAccountMACKeys": dict(external or {}),
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    dns_command = [
        dns_program, "-management", f"127.0.0.1:{dns_management}",
        "-dns01", f"127.0.0.1:{dns_port}", "-http01", "", "-https01", "", "-tlsalpn01", "",
        "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
    ]  # fmt: skip
    with ExitStack() as stack:
        dns = stack.enter_context(ManagedProcess("pebble's DNS", dns_command))
        dns.wait_until(lambda: listens(dns_management), READY_SECONDS)
        dns_address = resolver or f"127.0.0.1:{dns_port}"
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        command = [program, "-config", str(folder / "pebble.json"), "-dnsserver",
                   dns_address, "-strict"]  # fmt: skip
        server = stack.enter_context(ManagedProcess("Pebble", command, environment))
        server.wait_until(lambda: listens(port), READY_SECONDS)
        yield Pebble(port, management, ca_file, server, dns, dns_management, dns_address)


def make_server_certificate(folder: Path) -> str:
    """Write a certificate for 127.0.0.1 and its key; return the path of what verifies it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pebble")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.key").write_bytes(pem)
    return str(folder / "server.pem")
