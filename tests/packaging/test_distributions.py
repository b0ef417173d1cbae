"""What is shipped: sdist, wheel and an installation of it, each made of the one before."""

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".ci/run"}
"""What git tracks and no archive holds: it is the CI's, not the project's."""
IMPORT_ALL = """
import importlib, pkgutil, sidecar
for each in pkgutil.walk_packages(sidecar.__path__, "sidecar."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
print(sidecar.__file__)
"""


def run(command: list[str], cwd: Path, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **quiet}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def build(kind: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    done = run(command, source)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.iterdir()
    return built


def tracked(below: str = ".") -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("only git knows what belongs to the project")
    done = run(["git", "ls-files", "-z", "--", below], ROOT)
    assert done.returncode == 0, done.stderr
    # What is being removed, and not committed yet, is no longer expected.
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and the packages it needs from where we run."""
    folder = tmp_path_factory.mktemp("installed")
    assert run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder).returncode == 0
    python = str(folder / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    done = run([*pip, "--no-index", "--no-deps", "--no-compile", str(wheel)], folder)
    assert done.returncode == 0, done.stderr
    # A line of a .pth adds the folder and not what its own .pth files say: not the checkout.
    needed = site_packages(folder) / "zz_needed.pth"
    needed.write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def site_packages(folder: Path) -> Path:
    (found,) = folder.glob("venv/lib/python*/site-packages")
    return found


def test_the_sdist_holds_every_file_of_the_project(unpacked: Path) -> None:
    held = {
        str(path.relative_to(unpacked))
        for path in unpacked.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert tracked() - LEFT_OUT - held == set()


def test_the_wheel_holds_every_file_of_the_package_and_its_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert tracked("sidecar") - held == set()
    assert "septem_sidecar-0.1.0.dist-info/licenses/LICENSE" in held


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    of_the_tree = build("wheel", ROOT, tmp_path / "wheel")
    assert of_the_tree.name == wheel.name
    assert of_the_tree.read_bytes() == wheel.read_bytes()


def test_nothing_but_the_sidecar_is_installed(installed: Path) -> None:
    found = {path.name for path in site_packages(installed).iterdir()}
    assert found == {"sidecar", "septem_sidecar-0.1.0.dist-info", "zz_needed.pth"}


def test_the_installed_command_says_its_version(installed: Path) -> None:
    done = run([str(installed / "venv/bin/sidecar"), "--version"], installed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sidecar 0.1.0\n", "")


def test_every_installed_module_can_be_imported(installed: Path) -> None:
    python = str(installed / "venv/bin/python")
    done = run([python, "-W", "ignore", "-c", IMPORT_ALL], installed)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(site_packages(installed))


def test_the_installed_command_checks_the_example(installed: Path) -> None:
    example = str(ROOT / "config.example.yaml")
    done = run([str(installed / "venv/bin/sidecar"), "config", "check", example], installed)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stranger", [False, True], ids=["no demo", "somebody's package demo"])
def test_the_installed_command_says_where_the_demo_is(installed: Path, stranger: bool) -> None:
    other = site_packages(installed) / "demo"
    if stranger:
        other.mkdir()
        (other / "__init__.py").write_text("raise SystemExit('this is not the demo')\n")
    try:
        done = run([str(installed / "venv/bin/sidecar"), "demo"], installed)
    finally:
        if stranger:
            (other / "__init__.py").unlink()
            other.rmdir()
    said = (
        "sidecar: the demo is not part of the installed package: "
        "clone the project's repository and run `make demo` there\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
