"""What a client's certificate says; and that a worker without such routes does not load X.509."""

import subprocess
import sys
from urllib.parse import quote

import pytest

from sidecar.authz.client_certificate import ClientCertificate, read_certificate, thumbprint_of
from sidecar.cli.client_certificates import forwarded_certificate
from tests.authz.checks import WEB
from tests.authz.test_token_binding import WEB_X5T
from tests.support.minting import NOW

UNREADABLE = ["", "%", "no certificate", quote("-----BEGIN CERTIFICATE-----\nAA\n"), "\x00"]


def test_who_it_identifies_and_until_when() -> None:
    shown = read_certificate(forwarded_certificate(WEB, NOW))
    assert isinstance(shown, ClientCertificate)
    assert shown.names.spiffe_id == WEB
    assert shown.not_before < NOW < shown.not_after


def test_its_thumbprint() -> None:
    assert thumbprint_of(forwarded_certificate(WEB, NOW)) == WEB_X5T


@pytest.mark.parametrize("certificate", UNREADABLE)
def test_what_is_no_certificate_says_why_and_has_no_thumbprint(certificate: str) -> None:
    assert isinstance(read_certificate(certificate), str)
    assert thumbprint_of(certificate) == ""


LOADED = "import sys, sidecar.runtime.workers.main; print('cryptography.x509' in sys.modules)"


def test_a_worker_loads_it_only_where_a_route_reads_certificates() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
