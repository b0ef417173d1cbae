"""Debian's Chromium, told where the platform's names are and which certificates are good.

Only the names' addresses and the CA are not the real world's: the browser verifies, blocks,
reports and upgrades as it does for everybody. Certificates are accepted by their key, so no
certificate error is overlooked (with one, Chromium would not take note of HSTS).
"""

import base64
import hashlib
import shutil
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserType

PROGRAM = shutil.which("chromium")
NO_CHROMIUM = "no chromium: tools/get-chromium found no apt"


def pin_of(port: int, name: str) -> str:
    """SHA-256 of the public key that a loopback port shows under a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextmanager
def chromium(
    kind: BrowserType, places: Iterable[tuple[str, int]], pins: Iterable[str]
) -> Iterator[Browser]:
    """Run a Chromium that knows ``host[:port]`` at these loopback ports, and no other host."""
    rules = [f"MAP {place} 127.0.0.1:{port}" for place, port in places]
    arguments = [
        f"--host-resolver-rules={', '.join([*rules, 'MAP * ~NOTFOUND'])}",
        f"--ignore-certificate-errors-spki-list={','.join(sorted(set(pins)))}",
        "--short-reporting-delay",  # reports at once, and not within a minute
        "--no-sandbox",  # root in a container
        "--disable-quic",
        "--disable-component-update",
        "--disable-background-networking",
    ]
    browser = kind.launch(executable_path=PROGRAM, args=arguments)
    try:
        yield browser
    finally:
        browser.close()
