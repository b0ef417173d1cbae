"""The files of a listener's TLS: all of them together, or what was there before."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.admin.tls_files import MAX_FILE_BYTES, TlsFileFault, TlsFiles
from sidecar.common.clock import wall_seconds
from tests.admin.test_metrics_listener import CLIENTS, OURS, Files
from tests.support.authorities import pem


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def instead_of_the_cas(files: Files, make: Callable[[str], None]) -> None:
    (files.folder / "ca.pem").unlink()
    make(files.path("ca.pem"))


BAD: list[tuple[str, Callable[[Files], object], str]] = [
    ("no certificate", lambda f: (f.folder / "tls.crt").unlink(),
     "listen.metrics.tls.certificate_file: /.*/tls.crt: No such file"),
    ("no key", lambda f: (f.folder / "tls.key").unlink(), "tls.key_file: .*No such file"),
    ("no CAs", lambda f: (f.folder / "ca.pem").unlink(), "tls.client_ca_file: .*No such file"),
    ("no CRLs", lambda f: (f.folder / "crl.pem").unlink(), "tls.client_crl_file: .*No such file"),
    ("a key that is another's",
     lambda f: f.write("tls.key", OURS.material(dns_names=["localhost"]).key_pem),
     "certificate_file and key_file: the certificate is for another key"),
    ("half a certificate", lambda f: f.write("tls.crt", "-----BEGIN CERTIFICATE-----\nMIIB"),
     "certificate_file and key_file: .*not a chain of PEM certificates"),
    ("no PEM", lambda f: f.write("tls.crt", b"\xff\xfe"), "not a chain of PEM certificates"),
    ("a key that is none", lambda f: f.write("tls.key", "x"), "not an unencrypted private key"),
    ("one that has ended", lambda f: f.show(OURS.material(dns_names=["localhost"], hours=-1)),
     "the certificate has expired"),
    ("CAs that are none", lambda f: f.write("ca.pem", ""), "tls.client_ca_file: "),
    ("a leaf as CA", lambda f: f.write("ca.pem", pem(CLIENTS.leaf()[0])), "is no CA"),
    ("another CA's CRL", lambda f: f.write("crl.pem", pem(OURS.crl())), "tls.client_ca_file: "),
    ("too much", lambda f: f.write("ca.pem", b"x" * (MAX_FILE_BYTES + 1)), "has more than 4194304"),
    ("a folder", lambda f: instead_of_the_cas(f, os.mkdir),
     "client_ca_file: "),
    ("a FIFO", lambda f: instead_of_the_cas(f, os.mkfifo),
     "is not a regular file"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), [r[1:] for r in BAD], ids=[r[0] for r in BAD])
async def test_a_bad_file_ends_the_start_and_changes_nothing_later(
    files: Files, spoil: Callable[[Files], object], words: str
) -> None:
    held = TlsFiles(files.settings(crl=True), wall_seconds)
    await held.load()
    before = held.material(), held.trusted()
    assert before[0] is not None
    assert before[1].anchors is not None
    spoil(files)
    with pytest.raises(TlsFileFault, match=words):
        await TlsFiles(files.settings(crl=True), wall_seconds).load()
    await held.poll.refresh()
    assert (held.material(), held.trusted()) == before
    assert held.status.problem.startswith("listen.metrics.tls")
    files.show(OURS.material(dns_names=["localhost"]))
    for each in ("ca.pem", "crl.pem"):
        if (files.folder / each).is_dir():
            (files.folder / each).rmdir()
    files.believe(CLIENTS)
    await held.poll.refresh()
    assert not held.status.problem, "and it is well again without a restart"
    assert held.material() != before[0]


async def test_a_certificate_that_ends_is_shown_no_more(files: Files) -> None:
    clock = [wall_seconds()]
    held = TlsFiles(files.settings(), lambda: clock[0])
    await held.load()
    assert held.material() is not None
    clock[0] += 13 * 3600
    assert held.material() is None


async def test_clients_are_those_of_the_settings(files: Files) -> None:
    held = TlsFiles(files.settings("prom.internal"), wall_seconds)
    assert held.trusted().anchors is None, "before the files are read nobody is believed"
    await held.load()
    assert held.trusted().peers == ("prom.internal",)
