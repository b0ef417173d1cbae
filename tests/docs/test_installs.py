"""Every install that is documented is checked by hashes, to the last package that pip fetches.

`pip install .` builds in isolation and fetches what builds without a hash; so does a package that
has no wheel for a platform. A command must therefore take wheels alone, each by its hash, or fetch
nothing.
"""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "docs",
    "deploy",
    "envoy",
    "demo",
    "sidecar",
    "workload",
    "bench",
    "tools",
    "requirements",
)
SUFFIXES = {".md", ".py", ".yaml", ".yml", ".txt", ".service", ".conf", ".in", ".json", ".sh", ""}
COMMAND = re.compile(r"\bpip3? +(?:-\S+ +)*(?:install|wheel|download)\b[^`\n&|;#\"]*")
RELEASE_LOCK = re.compile(r"(?:^|/)(?:septem-sidecar-\S+|kafka|decision-cache)\.lock$")
"""A lock of a release says itself that nothing is built."""


def texts() -> list[Path]:
    below = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    found = [path for path in [*ROOT.glob("*"), *below] if path.suffix in SUFFIXES]
    left_out = {"__pycache__", "build"}
    return sorted(path for path in found if path.is_file() and not left_out & set(path.parts))


def commands(text: str) -> list[str]:
    """Return the commands of pip in a text, with their continued lines and without its prose."""
    joined = re.sub(r"\\\n\s*(?:\"\s*f?\")?", " ", text)
    return [found[0] for found in COMMAND.finditer(joined)]


def fetches_without_hashes(command: str, of_a_user: bool = True) -> bool:
    """Tell whether pip could fetch something that no hash is known of.

    A user's platform may be another than ours, and lack a wheel: nothing is built there.
    """
    words = set(shlex.split(command.replace("'", "").replace("(", " ").replace(")", " ")))
    if "--no-index" in words or {"--no-deps", "--no-build-isolation"} <= words:
        return False
    if "--require-hashes" not in words:
        return True
    only_wheels = {"--only-binary", ":all:"} <= words or any(map(RELEASE_LOCK.search, words))
    return of_a_user and not only_wheels


def test_no_documented_install_fetches_without_hashes() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {command}"
        for path in texts()
        for command in commands(path.read_text(encoding="utf-8", errors="replace"))
        if fetches_without_hashes(command, of_a_user=not path.is_relative_to(ROOT / "tools"))
    }
    assert not found


JUDGED = {
    "pip install .": True,
    "pip install --no-deps ./workload .": True,
    "pip install septem-workload[postgres]": True,
    "pip install --no-build-isolation .": True,
    "pip install --require-hashes -r requirements/runtime.lock": True,
    "pip install --require-hashes --only-binary :all: -r requirements/runtime.lock": False,
    "pip install --require-hashes -r septem-sidecar-0.1.0.lock": False,
    "pip install --require-hashes -r dist/septem-sidecar-0.1.0/kafka.lock": False,
    "pip install -r septem-sidecar-0.1.0.lock": True,
    "pip install --no-deps --no-build-isolation ./workload .": False,
    "pip wheel --no-deps .": True,
    "pip download --no-index -d x y": False,
}


@pytest.mark.parametrize("command", JUDGED)
def test_what_fetches_without_hashes(command: str) -> None:
    assert commands(f"Run `{command}`, then go on.") == [command]
    assert fetches_without_hashes(command) is JUDGED[command]


SPELT = {
    "in a block, over two lines": "    x/bin/pip install \\\n      --no-deps .\n",
    "after options of pip's own": "python -m pip --quiet install .\n",
    "before another command": "pip3 install . && sidecar serve\n",
}


@pytest.mark.parametrize("case", SPELT)
def test_a_command_is_found_however_it_is_written(case: str) -> None:
    (command,) = commands(SPELT[case])
    assert fetches_without_hashes(command)
    assert "sidecar" not in command
