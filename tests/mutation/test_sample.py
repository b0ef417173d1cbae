"""A sample of the mutants, drawn by the commit: `make mutate` runs all of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.mutation.mutants import mutants_of
from tests.mutation.run import LIVES, NEVER, TESTS
from tests.mutation.swap import swap

ROOT = Path(__file__).parents[2]
SAMPLE = 20
SECONDS = 300
"""All of them have ended long before, but where the machine is very busy."""


def test_the_tests_notice_a_sample_of_changes() -> None:
    command = [sys.executable, "-m", "tests.mutation", "--sample", str(SAMPLE)]
    command += ["--seconds", str(SECONDS)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.split()[-1].endswith("%")


NAMED = [
    (
        "authz/service.py",
        "CheckService.handle",
        "cached_token.epoch != response_cache.epoch",
        "False",
    ),
    (
        "authz/response_cache.py",
        "RouteScope.__init__",
        "route.clients or route.shadow",
        "route.shadow",
    ),
    ("tokens/revocation.py", "Revocations.check", "claims.issued_at < before", "<= before"),
    (
        "transport/guard.py",
        "SocketGuard._make_folder",
        "found.st_uid != os.geteuid()",
        "found.st_mode",
    ),
]


@pytest.mark.parametrize(("file", "function", "before", "after"), NAMED)
def test_the_changes_that_once_passed_are_among_the_mutants(
    file: str, function: str, before: str, after: str
) -> None:
    changes = {
        mutant.change for mutant in mutants_of(ROOT / "sidecar" / file)
        if mutant.function == function
    }  # fmt: skip
    assert any(before in change.partition(" => ")[0] for change in changes)
    assert any(after in change.partition(" => ")[2] for change in changes)


def test_the_tests_that_are_named_exist() -> None:
    """A test that is renamed would be run for every mutant, or for none, without a word."""
    paths = (ROOT / "tests").rglob("test_*.py")
    texts = [path.read_text() for path in paths if path != Path(__file__)]
    names = {word for text in texts for word in re.findall(r"def (test_\w+)", text)}
    assert LIVES in names
    assert [part for part in NEVER if not any(part in name for name in names)] == []


def test_every_mutant_of_a_file_is_one_change_that_compiles() -> None:
    path = Path("sidecar/headers/nonce.py")
    found = mutants_of(ROOT / path)
    assert len({mutant.key for mutant in found}) == len(found) > 10
    for mutant in found:
        compile(mutant.source(), mutant.path, "exec")


def test_the_list_of_equivalents_names_mutants_that_there_are() -> None:
    """One whose function has changed is to be looked at again."""
    listed = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text()) or []
    known = {
        (each["file"], mutant.function, mutant.change)
        for each in listed
        for mutant in mutants_of(ROOT / each["file"])
    }
    for each in listed:
        assert (each["file"], each["function"], each["change"]) in known, each
        assert len(each["why"].split()) > 3


def test_a_swapped_function_is_what_everybody_calls() -> None:
    """In a child: this process must keep its own."""
    code = """
from sidecar.authz.response_cache import RouteScope
from sidecar.authz.routes import Route
from tests.mutation.mutants import mutants_of
from tests.mutation.swap import swap
from pathlib import Path

path = Path("sidecar/authz/response_cache.py")
change = "route.clients or route.shadow => route.shadow"
mutant = next(each for each in mutants_of(path) if each.change.endswith(change))
route = Route("mesh", "required", clients=("a",))
assert not RouteScope(route).plain
swap(mutant.path, mutant.function, mutant.source())
assert RouteScope(route).plain
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    assert callable(swap)
    assert all((ROOT / place).exists() for places in TESTS.values() for place in places)
