"""``make mutate``: every mutant of what decides, against the tests that concern it.

    python -m tests.mutation [FILE | FOLDER …]     all of it, or a part; goes on where it stopped
    python -m tests.mutation --sample 30           some, drawn by the commit, as ``make test`` does

Prints a table by file and exits with 1 where fewer are killed than must be. Results are kept
in ``build/mutation``: a mutant is run again when its function changes, and one that survived
when a test changes. ``equivalent.yaml`` lists those that change nothing, and why.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.mutation import run
from tests.mutation.mutants import Mutant, mutants_of

SCOPE = ("sidecar/authz", "sidecar/tokens", "sidecar/keys", "sidecar/headers",
         "sidecar/transport/guard.py", "sidecar/transport/pipe.py")  # fmt: skip
WHOLE_SHARE = 0.95
SAMPLE_SHARE = 0.8
"""Of thirty: at 95 % of the whole, a sample falls below this once in 1,700 times."""
RESULTS = Path("build/mutation/results.json")
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")


class Results:
    """What became of each mutant, kept between runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
        self._tests: dict[str, str] = {}
        self._saved = time.monotonic()

    def known(self, mutant: Mutant) -> str | None:
        """Return what became of a mutant under this very function, and these very tests."""
        result, function, tests, _ = self._kept.get(_text(mutant), ["", "", "", ""])
        if function != mutant.function_hash:
            return None
        return result if result == run.KILLED or tests == self._tests_hash(mutant) else None

    def tell(self, mutant: Mutant, result: str, killer: str) -> None:
        """Keep a result, and write what is kept now and then."""
        self._kept[_text(mutant)] = [
            result, mutant.function_hash, self._tests_hash(mutant), killer,
        ]  # fmt: skip
        if time.monotonic() > self._saved + 5:
            self.save()

    def save(self) -> None:
        """Write what is kept, whole or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._kept, indent=0, sort_keys=True))
        beside.replace(self._path)
        self._saved = time.monotonic()

    def _tests_hash(self, mutant: Mutant) -> str:
        places = run.tests_of(mutant.path)
        key = " ".join(places)
        if key not in self._tests:
            digest = hashlib.sha256()
            for place in places:
                files = sorted(Path(place).glob("**/*.py")) or [Path(place)]
                for file in files:
                    digest.update(file.read_bytes())
            self._tests[key] = digest.hexdigest()[:16]
        return self._tests[key]


def _text(mutant: Mutant) -> str:
    return "\t".join(map(str, mutant.key))


def files_of(places: Iterable[str]) -> list[Path]:
    """Return the files that arguments name, of those in scope."""
    files: set[Path] = set()
    for place in places:
        path = Path(place)
        files |= set(path.glob("**/*.py")) if path.is_dir() else {path}
    scope = tuple(map(Path, SCOPE))
    outside = [str(file) for file in files if not any(file.is_relative_to(each) for each in scope)]
    if outside or not all(file.is_file() for file in files):
        sys.exit(f"no file of {', '.join(SCOPE)}: {', '.join(outside) or 'there is none'}")
    return sorted(files)


def read_equivalents() -> set[tuple[str, str, str]]:
    """Return file, function and change of the mutants that change nothing."""
    listed = yaml.safe_load(EQUIVALENT.read_text()) or []
    return {(each["file"], each["function"], each["change"]) for each in listed}


def seed() -> str:
    """Return the commit: one commit draws one sample, wherever it is built."""
    git = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    return found.stdout.strip() or time.strftime("%Y-%m-%d")


def test(
    mutants: Sequence[Mutant], results: Results | None, jobs: int, deadline: float
) -> dict[Mutant, str]:
    """Run what is not known yet; returns what became of each that was run or is known."""
    became: dict[Mutant, str] = {}
    for prefix, batch in run.batches(mutants):
        waiting: list[Mutant] = []
        for mutant in batch:
            known = results.known(mutant) if results is not None else None
            if known is None:
                waiting.append(mutant)
            else:
                became[mutant] = known
        if not waiting:
            continue
        print(f"{prefix}: {len(waiting)} to run, {len(batch) - len(waiting)} known", flush=True)

        def tell(mutant: Mutant, result: str, killer: str) -> None:
            became[mutant] = result
            if results is not None:
                results.tell(mutant, result, killer)
            if result == run.SURVIVED:
                print(f"  survived: {mutant.path} {mutant.function}: {mutant.change}", flush=True)

        # A sample is drawn beside all tests, which say themselves whether they pass.
        clean = True if results is None else None
        runner = run.Runner(waiting, tell, jobs, deadline, clean)
        arguments = ["-qq", "--tb=no", "-p", "no:cacheprovider", *run.TESTS[prefix]]
        pytest.main(arguments, plugins=[runner])
        if results is not None:
            results.save()
        if not runner.clean:
            sys.exit(f"{prefix}: the tests fail without any mutant; run {' '.join(arguments)}")
    return became


def report(became: dict[Mutant, str], wanted: float) -> int:
    """Print the table; returns the exit code."""
    equivalent = read_equivalents()
    table: dict[str, Counter[str]] = {}
    for mutant, result in became.items():
        counted = result
        if result == run.SURVIVED and mutant.key[:3] in equivalent:
            counted = "equivalent"
        table.setdefault(mutant.path, Counter())[counted] += 1
    print(f"\n{'file':<38}{'killed':>8}{'timeout':>8}{'survived':>9}{'equiv.':>8}{'score':>8}")
    whole: Counter[str] = Counter()
    for path, counts in sorted(table.items()):
        print(_row(path, counts))
        whole += counts
    print(_row("all", whole))
    share = _share(whole)
    if share < wanted:
        print(f"\n{share:.1%} are killed, and {wanted:.0%} must be: write the tests that miss them")
        return 1
    return 0


def _share(counts: Counter[str]) -> float:
    dead = counts[run.KILLED] + counts[run.TIMEOUT]
    alive = counts[run.SURVIVED]
    return dead / (dead + alive) if dead + alive else 1.0


def _row(name: str, counts: Counter[str]) -> str:
    columns = (run.KILLED, run.TIMEOUT, run.SURVIVED, "equivalent")
    widths = (8, 8, 9, 8)
    shown = "".join(f"{counts[each]:>{width}}" for each, width in zip(columns, widths, strict=True))
    return f"{name:<38}{shown}{_share(counts):>8.1%}"


def main() -> int:
    """Run as the module's docstring says."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.split("\n")[0])
    parser.add_argument("places", nargs="*", help="files or folders; none is all of it")
    parser.add_argument("--sample", type=int, help="draw so many, and keep nothing")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    mutants = [each for file in files_of(options.places or SCOPE) for each in mutants_of(file)]
    if options.sample is not None:
        drawn = random.Random(seed()).sample(mutants, min(options.sample, len(mutants)))
        deadline = time.monotonic() + options.seconds
        return report(test(drawn, None, options.jobs, deadline), SAMPLE_SHARE)
    results = Results(RESULTS)
    deadline = time.monotonic() + options.seconds
    return report(test(mutants, results, options.jobs, deadline), WHOLE_SHARE)


if __name__ == "__main__":
    sys.exit(main())
