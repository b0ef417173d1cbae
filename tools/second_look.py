"""Runs the few tests that failed beside others once more, alone, after ``make test``.

Seventeen thousand tests share two cores with real servers, and one that lost a race stops
everybody. A test that fails here fails; one that passes is named as flaky, with its first failure
in the output above: it is a defect, of the test or of the product, and somebody's to find.

Only tests that start real processes (``real``) or measure time (``quiet``) get the second look,
and at most ``_MOST`` of them. Envoy's own CI does the same (Bazel's ``flaky_test_attempts``).

    python tools/second_look.py [PYTEST ARGUMENT ...]
"""

import json
import subprocess
import sys
from pathlib import Path

_MOST = 3
_GROUP = "@quiet"
_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def say(line: str) -> None:
    """Print a line before pytest goes on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def failed() -> list[str]:
    """Return the tests that pytest's cache remembers as failed, by the names that pytest knows.

    pytest-xdist writes a group behind a test's name (``tests/support/side_by_side.py``).
    """
    if not _LAST_FAILED.exists():
        return []
    found = sorted({each.removesuffix(_GROUP) for each in json.loads(_LAST_FAILED.read_text())})
    _LAST_FAILED.write_text(json.dumps(dict.fromkeys(found, True)))
    return found


def main(arguments: list[str]) -> int:
    """Return 0 if each test that failed passes alone, else 1."""
    before = failed()
    if not before:
        say("second look: pytest failed without a failed test")
        return 1
    if len(before) > _MOST:
        say(f"second look: {len(before)} tests failed; at most {_MOST} are run again alone")
        return 1
    say(f"second look: {len(before)} failed beside others and run again, alone")
    command = [sys.executable, "-m", "pytest", "--last-failed", "-m", "real or quiet", *arguments]
    status = subprocess.run(command, check=False).returncode
    # A test of another kind is not run, and stays in the cache as failed.
    if status or failed():
        return 1
    for test in before:
        say(f"FLAKY {test}: it failed beside others (see above) and passed alone")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
