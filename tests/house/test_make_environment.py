"""The environment of `make`: updated in place by the hashed lock, and by one make at a time."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
_BACKEND = """\
import zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "{name}-1-py3-none-any.whl"
    info = "{name}-1.dist-info/"
    with zipfile.ZipFile(f"{{folder}}/{{name}}", "w") as wheel:
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n")
        wheel.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        )
        wheel.writestr(info + "RECORD", "")
    return name
"""


def make_wheel(folder: Path, name: str, version: str) -> str:
    """Write a package; return its line of a lock."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info/"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(
            info + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(info + "RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name} @ file://{path} --hash=sha256:{digest}\n"


class Clone:
    """A repository with the tools, two projects and a lock of packages that lie beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "requirements/dev.lock"
        self.venv = folder / ".venv"
        shutil.copytree(ROOT / "tools", folder / "tools")
        self.lock.parent.mkdir()
        for name, place in (("septem_sidecar", "."), ("septem_workload", "workload")):
            project = folder / place
            project.mkdir(exist_ok=True)
            (project / "backend.py").write_text(_BACKEND.format(name=name))
            (project / "pyproject.toml").write_text(
                '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            )

    def make_venv(self, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tools/make-venv", python, ".venv"],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env=os.environ | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        )  # fmt: skip

    def installed(self) -> set[str]:
        listed = subprocess.run(
            [self.venv / "bin/python", "-m", "pip", "list", "--format=freeze"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        ours = (line for line in listed.stdout.split() if line.startswith(("one", "two", "three")))
        return set(ours)


def no_venv(folder: Path) -> str:
    """Return this Python, as one that ends with 7 where it is to make an environment."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && exit 7\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_a_changed_lock_changes_the_packages_and_nothing_else(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    first = make_wheel(tmp_path, "one", "1.0") + make_wheel(tmp_path, "two", "1.0")
    clone.lock.write_text(first)
    done = clone.make_venv()
    assert (done.returncode, "creating" in done.stdout) == (0, True), done.stderr
    assert clone.installed() == {"one==1.0", "two==1.0"}
    kept = clone.venv / "applications/python/flask.py"
    kept.parent.mkdir(parents=True)
    kept.touch()

    make_wheel(tmp_path, "three", "1.0")  # by hand, beside the lock
    by_hand = tmp_path / "three-1.0-py3-none-any.whl"
    pip = [str(clone.venv / "bin/python"), "-m", "pip", "install", "-q", "--no-index"]
    subprocess.run([*pip, str(by_hand)], check=True)
    clone.lock.write_text(make_wheel(tmp_path, "one", "2.0"))
    done = clone.make_venv()
    assert (done.returncode, "updating" in done.stdout) == (0, True), done.stderr
    assert clone.installed() == {"one==2.0"}
    assert kept.exists()

    clone.lock.write_text(make_wheel(tmp_path, "one", "3.0").replace("sha256:", "sha256:00")[:-3])
    done = clone.make_venv()
    assert done.returncode != 0, "another hash than the lock's"
    assert clone.installed() == {"one==2.0"}
    assert not (clone.venv / ".updating").exists()
    assert kept.exists()

    assert "updating" in clone.make_venv(no_venv(tmp_path)).stdout
    (clone.venv / ".updating").touch()  # a pip was killed at work
    done = clone.make_venv(no_venv(tmp_path))
    assert (done.returncode, "creating" in done.stdout) == (7, True), done.stderr
    (clone.venv / ".updating").unlink()
    script = clone.venv / "bin/pip"
    script.write_text(script.read_text().replace(str(tmp_path), "/elsewhere"))  # it was moved
    assert clone.make_venv(no_venv(tmp_path)).returncode == 7


def test_of_two_at_once_one_makes_it_and_the_other_waits(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    command = [
        *(str(ROOT / "tools/make-once"), "made", "lock", "--"),
        *(
            "sh",
            "-c",
            "echo begun >> log; while [ ! -e go ]; do sleep 0.02; done; echo done >> log",
        ),
    ]
    first = subprocess.Popen(command, cwd=tmp_path)
    wait_until((tmp_path / "log").exists)
    second = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting for another make that makes made ...\n"
    (tmp_path / "go").touch()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    second.stdout.close()
    assert (tmp_path / "log").read_text() == "begun\ndone\n"
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("failing", [True, False])
def test_what_another_did_not_make_is_made(tmp_path: Path, failing: bool) -> None:
    """The first fails, or makes it of what is older than what there is now."""
    (tmp_path / "lock").touch()
    once = [str(ROOT / "tools/make-once"), "made", "lock", "--", "sh", "-c"]
    script = "echo begun > log; while [ ! -e go ]; do sleep 0.02; done; [ ! -e fails ]"
    first = subprocess.Popen([*once, script], cwd=tmp_path)
    wait_until((tmp_path / "log").exists)
    second = subprocess.Popen(
        [*once, "echo again >> log"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert second.stdout is not None
    second.stdout.readline()
    if failing:
        (tmp_path / "fails").touch()
    else:
        os.utime(tmp_path / "lock", (4e9, 4e9))  # changed while the first was at work
    (tmp_path / "go").touch()
    assert (first.wait(60), second.wait(60)) == (1 if failing else 0, 0)
    second.stdout.close()
    assert (tmp_path / "log").read_text() == "begun\nagain\n"


def dry_run(folder: Path) -> str:
    done = subprocess.run(
        ["make", "--dry-run", ".venv/.graders", ".venv/.applications", ".venv/.site"],
        cwd=folder, capture_output=True, text=True, check=True,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
    )  # fmt: skip
    return done.stdout


def test_a_changed_lock_installs_neither_applications_nor_graders_nor_the_site(
    tmp_path: Path,
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    of_graders = ("requirements/graders.lock", "requirements/node.lock")
    for at, name in enumerate((
        *("requirements/dev.lock", "requirements/applications.lock", "requirements/site.lock"),
        *("pyproject.toml", "workload/pyproject.toml", "tests/graders/package-lock.json"),
        *("tests/applications/package-lock.json", "tests/idp/package-lock.json", *of_graders),
        *("tools/get-graders", "tools/get-applications", "tools/get-site", ".venv/.installed"),
        *(".venv/.graders", ".venv/.applications", ".venv/.site"),
    )):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1e9 + at, 1e9 + at))
    assert "tools/" not in dry_run(tmp_path)
    os.utime(tmp_path / "requirements/dev.lock", (2e9, 2e9))
    assert "tools/make-venv" in (planned := dry_run(tmp_path))
    assert not any(f"tools/get-{each} " in planned for each in ("graders", "applications", "site"))
    os.utime(tmp_path / "requirements/graders.lock", (2e9, 2e9))
    assert "tools/get-graders" in dry_run(tmp_path)
