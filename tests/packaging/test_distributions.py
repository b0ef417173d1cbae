"""What is shipped: sdist, wheel and an installation of it, each made of the one before."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
VERSION, COMMIT = "0.1.0.dev7+g1a2b3c4d5e", "1a2b3c4d5e" * 4
"""Of a copy without git: the tree itself may change while the tests run."""
ANOTHER = "9.9.9 " + "f" * 40
ABOUT = ("pyproject.toml", "README.md", "LICENSE", "source_version.py")
"""What the library's wheel is made of, and does not hold."""
LEFT_OUT = {".ci/run"}
"""What git tracks and no archive holds: it is the CI's, not the project's."""
IMPORT_ALL = """
import importlib, pkgutil, sidecar, workload
for package in (sidecar, workload):
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)
    print(package.__file__)
"""
ALONE = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import workload.mtls
import workload.encryption
assert workload.__file__.startswith(sys.argv[1])
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def run(
    command: list[str], cwd: Path, seconds: float = 120, built: str = f"{VERSION} {COMMIT}"
) -> "subprocess.CompletedProcess[str]":
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **quiet}
    environment["SEPTEM_BUILD"] = built
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


def build(kind: str, source: Path, folder: Path, built: str = f"{VERSION} {COMMIT}") -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    done = run(command, source, built=built)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.iterdir()
    return made


def tracked(below: str = ".") -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("only git knows what belongs to the project")
    done = run(["git", "ls-files", "-z", "--", below], ROOT)
    assert done.returncode == 0, done.stderr
    # What is being removed, and not committed yet, is no longer expected.
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


class Shipped(NamedTuple):
    """A distribution on its way: its source, the sdist of it, unpacked too, the wheel of that."""

    name: str
    package: str
    source: Path
    sdist: Path
    unpacked: Path
    wheel: Path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what git tracks, or of the sdist where the tests run from one."""
    copy = tmp_path_factory.mktemp("source") / "tree"
    if not (ROOT / ".git").exists():
        left_out = shutil.ignore_patterns(
            ".venv", "__pycache__", "build", ".*_cache", "PKG-INFO", "build.json"
        )
        return Path(shutil.copytree(ROOT, copy, ignore=left_out))
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return copy


def make(name: str, package: str, source: Path, folder: Path) -> Shipped:
    sdist = build("sdist", source, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheel = build("wheel", unpacked, folder / "wheel", ANOTHER)
    return Shipped(name, package, source, sdist, unpacked, wheel)


@pytest.fixture(scope="module")
def sidecar(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return make("septem_sidecar", "sidecar", source, tmp_path_factory.mktemp("sidecar"))


@pytest.fixture(scope="module")
def workload(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    folder = tmp_path_factory.mktemp("workload")
    return make("septem_workload", "workload", source / "workload", folder)


@pytest.fixture(params=["sidecar", "workload"])
def shipped(request: pytest.FixtureRequest) -> Shipped:
    found: Shipped = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def installed(
    sidecar: Shipped, workload: Shipped, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An environment with both wheels in it, and the packages it needs from where we run."""
    folder = tmp_path_factory.mktemp("installed")
    assert run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder).returncode == 0
    python = str(folder / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    wheels = [str(sidecar.wheel), str(workload.wheel)]
    done = run([*pip, "--no-index", "--no-deps", "--no-compile", *wheels], folder)
    assert done.returncode == 0, done.stderr
    # A line of a .pth adds the folder and not what its own .pth files say: not the checkout.
    needed = site_packages(folder) / "zz_needed.pth"
    needed.write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def site_packages(folder: Path) -> Path:
    (found,) = folder.glob("venv/lib/python*/site-packages")
    return found


def test_the_sdist_holds_every_file_of_the_project(sidecar: Shipped) -> None:
    assert tracked() - LEFT_OUT - files_below(sidecar.unpacked) == set()


def test_the_librarys_sdist_holds_every_file_of_its_own(workload: Shipped) -> None:
    held = {f"workload/{name}" for name in files_below(workload.unpacked)}
    assert tracked("workload") - held == set()
    assert (ROOT / "workload/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_the_wheel_holds_every_file_of_the_package_and_its_licence(shipped: Shipped) -> None:
    with ZipFile(shipped.wheel) as archive:
        held = set(archive.namelist())
    about = {f"workload/{name}" for name in ABOUT}
    assert tracked(shipped.package) - about - held == set()
    assert f"{shipped.name}-{VERSION}.dist-info/licenses/LICENSE" in held
    assert held & about == set()


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_tree(shipped: Shipped, tmp_path: Path) -> None:
    of_the_tree = build("wheel", shipped.source, tmp_path / "wheel")
    assert of_the_tree.name == shipped.wheel.name
    assert of_the_tree.read_bytes() == shipped.wheel.read_bytes()


def test_nothing_but_the_sidecar_and_the_library_is_installed(installed: Path) -> None:
    found = {path.name for path in site_packages(installed).iterdir()}
    about = {f"septem_{name}-{VERSION}.dist-info" for name in ("sidecar", "workload")}
    assert found == {"sidecar", "workload", "zz_needed.pth"} | about


def test_the_library_needs_what_it_says_and_no_more(workload: Shipped, tmp_path: Path) -> None:
    """With cryptography and h11 there, and nothing else of ours: a service needs no sidecar."""
    with ZipFile(workload.wheel) as archive:
        archive.extractall(tmp_path)
    done = run([sys.executable, "-I", "-c", ALONE, str(tmp_path)], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names)
    brought_by_cryptography = {"_cffi_backend", "_openssl", "cffi", "bcrypt"}  # where it is there
    assert foreign - brought_by_cryptography == {"workload", "cryptography", "h11"}


def test_an_sdist_without_git_keeps_its_version_and_its_commit(shipped: Shipped) -> None:
    """The wheel was made of it where ``SEPTEM_BUILD`` said something else."""
    assert shipped.wheel.name == f"{shipped.name}-{VERSION}-py3-none-any.whl"
    assert shipped.unpacked.name == f"{shipped.name}-{VERSION}"


def test_the_installed_command_says_its_version_and_its_commit(installed: Path) -> None:
    done = run([str(installed / "venv/bin/sidecar"), "--version"], installed)
    said = f"sidecar {VERSION} (commit {COMMIT})\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_every_installed_module_can_be_imported(installed: Path) -> None:
    python = str(installed / "venv/bin/python")
    done = run([python, "-W", "ignore", "-c", IMPORT_ALL], installed)
    assert done.returncode == 0, done.stderr
    places = [Path(line) for line in done.stdout.splitlines()]
    assert len(places) == 2
    assert all(place.is_relative_to(site_packages(installed)) for place in places)


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
