"""A release as a user has it: installed offline by its lock, run, and held against its papers.

`make release` runs this on what it has built; on any release:
`SEPTEM_RELEASE=dist/septem-sidecar-0.1.0 pytest tests/packaging/test_artefacts.py`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess
from sidecar.common.clock import wall_seconds
from sidecar.tokens.jwk import thumbprint
from tests.packaging.asked import check, readyz
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import NAMESPACE
from tools.release.locks import read_lock

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "SEPTEM_RELEASE" not in os.environ, reason="make release builds artefacts and tries them"
    ),
]
ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
CONFIG = """\
listen:
  authz: {{address: "unix:{folder}/authz.sock", workers: 1}}
  sds: {{address: "unix:{folder}/sds.sock"}}
  admin: {{address: "unix:{folder}/admin.sock"}}
  drain_notice_seconds: 0
vault:
  address: {vault}
  {namespace}
  auth: {{method: token_file, path: {folder}/token}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
issuers: [{{name: pki, type: vault_pki, role: edge}}]
certificates: [{{name: edge, issuer: pki, common_name: localhost}}]
"""


@pytest.fixture(scope="module")
def release() -> Path:
    return Path(os.environ["SEPTEM_RELEASE"]).resolve()


@pytest.fixture(scope="module")
def version(release: Path) -> str:
    (wheel,) = release.glob("septem_sidecar-*-py3-none-any.whl")
    return wheel.name.split("-")[1]


@pytest.fixture(scope="module")
def lock(release: Path, version: str) -> Path:
    return release / f"septem-sidecar-{version}.lock"


def pip(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def offline() -> list[str]:
    """Return what takes packages from a folder alone, where one is given."""
    folder = os.environ.get("SEPTEM_WHEELHOUSE")
    return [] if folder is None else ["--no-index", "--find-links", folder]


def environment(folder: Path) -> Path:
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, timeout=120)
    return folder / "bin/python"


@pytest.fixture(scope="module")
def installed(lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs' folder of an environment that the lock's one command has filled."""
    folder = tmp_path_factory.mktemp("installed")
    python = environment(folder / "venv")
    command = ["--python", str(python), "install", "--require-hashes", *offline(), "-r", str(lock)]
    done = pip(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    return python.parent


def test_it_says_its_version_and_its_commit(installed: Path, version: str) -> None:
    done = subprocess.run(
        [installed / "sidecar", "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    found = re.fullmatch(r"sidecar (\S+) \(commit ([0-9a-f]{40})\)\n", done.stdout)
    assert found is not None
    assert found[1] == version
    assert found[2] == os.environ.get("SEPTEM_COMMIT", found[2])


def test_it_checks_the_example(installed: Path) -> None:
    command = [str(installed / "sidecar"), "config", "check", str(ROOT / "config.example.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_serves_checks(installed: Path, openbao: OpenBao, issuer: Issuer) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    with tempfile.TemporaryDirectory(prefix="septem-release-") as name:
        folder = Path(name)
        (folder / "token").write_text(openbao.token_for(SIDECAR_POLICY, name="release"))
        text = CONFIG.format(
            folder=folder,
            vault=openbao.address,
            namespace=f"namespace: {NAMESPACE}" if NAMESPACE else "",
            issuer=ISSUER,
            audience=AUDIENCE,
        )
        (folder / "sidecar.yaml").write_text(text)
        command = [str(installed / "sidecar"), "serve", "--config", str(folder / "sidecar.yaml")]
        with ManagedProcess("sidecar", command) as process:
            process.wait_until(lambda: "ready" in readyz(folder), READY_SECONDS)
            now = int(wall_seconds())
            kid = thumbprint(issuer.private.public_key())
            token = issuer.mint({"kid": kid}, iat=now, nbf=now, exp=now + 300).decode()
            asked = folder / "authz.sock"
            assert (check(asked, ""), check(asked, token)) == (401, 200)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(READY_SECONDS) == 0


def test_a_wheel_of_another_build_is_not_installed(lock: Path, tmp_path: Path) -> None:
    altered = tmp_path / "release"
    shutil.copytree(lock.parent, altered)
    (wheel,) = altered.glob("septem_sidecar-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    command = ["install", "--require-hashes", *offline()[:1], "--no-deps"]
    own = tmp_path / "own.lock"
    own.write_text(
        f"--find-links {altered}\n"
        + "".join(str(pin) for pin in read_lock_of(lock) if pin.name == "septem-sidecar")
    )
    python = environment(tmp_path / "venv")
    done = pip("--python", str(python), *command, "--no-index", "-r", str(own), cwd=tmp_path)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


def read_lock_of(lock: Path) -> list[Any]:
    lines = lock.read_text().splitlines(keepends=True)
    assert [line for line in lines if line.startswith("--")] == [
        "--find-links .\n",
        "--only-binary :all:\n",
    ]
    return read_lock("".join(line for line in lines if not line.startswith("--")))


def test_the_modules_of_envoy_install_by_their_lock(release: Path, tmp_path: Path) -> None:
    lock = release / "decision-cache.lock"
    (pin,) = read_lock_of(lock)
    wheels = sorted(release.glob("septem_decision_cache-*.whl"))
    assert len(pin.hashes) == len(wheels) >= 1
    for wheel in wheels:
        platform = wheel.stem.rpartition("-")[2]
        target = tmp_path / platform
        whose = ["--no-deps", "--platform", platform, "--target", str(target)]
        command = ["install", "--no-index", "--require-hashes", *whose]
        done = pip(*command, "-r", str(lock), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert list((target / "septem_decision_cache").glob("lib*.so"))


def test_the_checksums_are_of_every_file(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text().splitlines()
    found = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.name: path for path in release.iterdir()}
    assert found.keys() == files.keys() - {"SHA256SUMS", "SHA256SUMS.minisig"}
    for name, digest in found.items():
        assert sha256(files[name].read_bytes()).hexdigest() == digest


def test_the_provenance_is_of_every_artefact_and_of_the_commit(release: Path, version: str) -> None:
    said = json.loads((release / f"septem-sidecar-{version}.intoto.json").read_text())
    subjects = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    papers = {"SHA256SUMS", "SHA256SUMS.minisig", f"septem-sidecar-{version}.intoto.json"}
    assert subjects.keys() == {path.name for path in release.iterdir()} - papers
    for name, digest in subjects.items():
        assert sha256((release / name).read_bytes()).hexdigest() == digest
    source = said["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert re.fullmatch("[0-9a-f]{40}", source["digest"]["gitCommit"])
    assert source["digest"]["gitCommit"] == os.environ.get(
        "SEPTEM_COMMIT", source["digest"]["gitCommit"]
    )


def test_the_sbom_has_what_the_lock_installs_with_licence_and_hashes(
    release: Path, lock: Path, version: str
) -> None:
    listed = json.loads((release / f"septem-sidecar-{version}.cdx.json").read_text())
    components = [listed["metadata"]["component"], *listed["components"]]
    pins = {pin.name: pin for pin in read_lock_of(lock)}
    assert {re.sub(r"[-_.]+", "-", each["name"]).lower() for each in components} == {
        re.sub(r"[-_.]+", "-", name).lower() for name in pins
    }
    for each in components:
        assert each["licenses"], each["name"]
        pin = next(pin for pin in pins.values() if same(pin.name, each["name"]))
        sources = [ref for ref in each["externalReferences"] if "hashes" in ref]
        found = {value["content"] for ref in sources for value in ref["hashes"]}
        assert (each["version"], found) == (pin.version, set(pin.hashes))


def same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def test_nothing_tells_of_the_machine(release: Path) -> None:
    here = [str(ROOT), str(release.parent), f"{Path.home()}/"]
    for path in release.iterdir():
        if path.suffix in {".lock", ".json", ".minisig"}:
            text = path.read_text()
            assert not [each for each in here if each in text], path.name
