"""docs/architecture.md is a map of the tree as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
NAMED = sorted(
    name
    for name in set(re.findall(r"`([\w./-]+)`", PAGE))
    if name.startswith(("sidecar/", "tests/", "envoy/", "docs/", "deploy/", "tools/", "bench/"))
)


@pytest.mark.parametrize("name", NAMED)
def test_every_file_on_the_map_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_map_names_files() -> None:
    assert len(NAMED) > 60


def test_every_component_has_its_row() -> None:
    rows = set(re.findall(r"^\| `sidecar/(\w+)(?:/|\.py)` \|", PAGE, re.MULTILINE))
    modules = [path for path in (ROOT / "sidecar").rglob("*.py") if path.read_text().strip()]
    components = {path.relative_to(ROOT / "sidecar").parts[0] for path in modules}
    # The demo is no part of a running sidecar; no component imports the applications' library.
    assert {name.removesuffix(".py") for name in components} - rows <= {"__main__", "demo", "mtls"}


def test_the_picture_is_that_of_the_imports() -> None:
    command = [sys.executable, str(ROOT / "tools/draw_architecture.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"run `make architecture`\n{done.stderr}"


def test_the_picture_tells_when_the_imports_changed(tmp_path: Path) -> None:
    picture = (ROOT / "docs/images/architecture.svg").read_text()
    old = tmp_path / "architecture.svg"
    old.write_text(picture.replace("authz", "auth"))
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "import draw_architecture as it; it.PICTURE = Path(sys.argv[2]);"
        "sys.exit(it.main({1: '--check'}))"
    )
    command = [sys.executable, "-c", program, str(ROOT / "tools"), str(old)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 1
