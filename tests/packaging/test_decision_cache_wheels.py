"""The wheels that hold the module: what pip installs is what was built, for either processor."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EM_X86_64, EM_AARCH64 = 62, 183


def make(*arguments: str) -> None:
    command = shutil.which("make")
    assert command is not None
    subprocess.run([command, "-s", "-C", str(ROOT), *arguments], check=True, timeout=300)


def machine_of(module: Path) -> int:
    machine: int = struct.unpack_from("<H", module.read_bytes(), 18)[0]
    return machine


def pip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None,
    reason="there is no aarch64-linux-gnu-gcc here (tools/get-c-tools)",
)
def test_pip_installs_the_module_of_each_platform(tmp_path: Path) -> None:
    make("decision-cache", "decision-cache-aarch64")
    script = ROOT / "tools" / "decision_cache_wheels.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    wheels = sorted(tmp_path.glob("septem_decision_cache-*.whl"))
    assert len(wheels) == 2
    for wheel, platform, machine in zip(
        wheels, ("aarch64", "x86_64"), (EM_AARCH64, EM_X86_64), strict=True
    ):
        target = tmp_path / platform
        # Another platform than this one is what --platform is for; it needs --only-binary.
        done = pip(
            "install", "--no-index", "--no-deps", "--only-binary=:all:", "--target", str(target),
            "--platform", f"manylinux_2_34_{platform}", str(wheel),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (module,) = (target / "septem_decision_cache").glob("lib*.so")
        assert machine_of(module) == machine


def test_the_module_builds_from_what_the_sdist_holds(tmp_path: Path) -> None:
    """Its sources and nothing else: no file of a build, no generated header."""
    folder = tmp_path / "decision_cache"
    shutil.copytree(
        ROOT / "envoy" / "decision_cache", folder, ignore=shutil.ignore_patterns("build")
    )
    command = shutil.which("make")
    assert command is not None
    subprocess.run([command, "-s", "-C", str(folder)], check=True, timeout=120)
    (module,) = (folder / "build").glob("libseptem_decision_cache-*.so")
    assert machine_of(module) in {EM_X86_64, EM_AARCH64}
