"""One TLS handshake with a name of one's choice, and what came of it."""

import socket
import ssl
import time
from typing import NamedTuple

TIMEOUT_SECONDS = 20.0


class Handshake(NamedTuple):
    """A handshake: the certificate's serial and names, or the failure in one word."""

    serial: str
    names: tuple[str, ...]
    failure: str
    milliseconds: float

    @property
    def done(self) -> bool:
        """Tell whether it was completed with a certificate that holds."""
        return not self.failure


class Handshaker:
    """Shakes hands on one port of loopback, trusting one CA."""

    def __init__(self, port: int, ca_pem: str) -> None:
        self._port = port
        self._context = ssl.create_default_context(cadata=ca_pem)
        self._unnamed = ssl.create_default_context(cadata=ca_pem)
        self._unnamed.check_hostname = False

    def shake(self, name: str | None, *, check_name: bool = True) -> Handshake:
        """Connect and close. The name must be the certificate's, unless it is not checked."""
        context = self._context if check_name and name is not None else self._unnamed
        address = ("127.0.0.1", self._port)
        started = time.perf_counter()
        serial, failure = "", ""
        names: tuple[str, ...] = ()
        try:
            with (
                socket.create_connection(address, timeout=TIMEOUT_SECONDS) as raw,
                context.wrap_socket(raw, server_hostname=name) as connection,
            ):
                took = time.perf_counter() - started
                certificate = connection.getpeercert() or {}
                serial = str(certificate.get("serialNumber", "")).lower()
                names = tuple(str(san[1]) for san in certificate.get("subjectAltName", ()))
        except ssl.SSLCertVerificationError as exc:
            took, failure = time.perf_counter() - started, f"unverified: {exc.verify_message}"
        except ssl.SSLError as exc:
            took, failure = time.perf_counter() - started, str(exc.reason or "refused")
        except OSError as exc:
            took, failure = time.perf_counter() - started, type(exc).__name__
        return Handshake(serial, names, failure, took * 1000)
