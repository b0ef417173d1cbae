"""Why a TLS connection failed: OpenSSL's own words, of real handshakes."""

import ssl
from pathlib import Path

import pytest
import requests

from sidecar.common.http_client import failure, make_session
from sidecar.common.tls_failure import tls_failure
from tests.support.authorities import Ca, pem
from tests.support.publisher import PublisherServer

READ_SECONDS = 5.0


@pytest.mark.parametrize(
    ("host", "known", "said"),
    [
        ("localhost", False, "TLS fails (self-signed certificate in certificate chain)"),
        ("127.0.0.1", True, "TLS fails (IP address mismatch, certificate is not valid for"),
    ],
    ids=["another CA", "another name"],
)
def test_a_certificate_that_is_not_accepted(
    tmp_path: Path, host: str, known: bool, said: str
) -> None:
    with PublisherServer(tmp_path) as server:
        assert server.ca_file is not None
        if not known:
            Path(server.ca_file).write_text(pem(Ca("another").certificate))
        session = make_session(ca_file=server.ca_file)
        with pytest.raises(requests.exceptions.SSLError) as caught:
            session.get(server.origin.replace("localhost", host), timeout=READ_SECONDS)
        session.close()
    found = failure(caught.value)
    assert found.startswith(said)
    assert found.endswith("; check its ca_file")


def test_a_handshake_that_fails_otherwise() -> None:
    exc = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] https://secret")
    assert tls_failure(exc, "vault.ca_file") == "TLS fails; check vault.ca_file"


def test_causes_that_run_in_a_circle_end() -> None:
    one, other = ssl.SSLError(), OSError()
    one.__cause__, other.__cause__ = other, one
    assert tls_failure(one, "x") == "TLS fails; check x"
