"""Makes a release of the checkout's commit: ``python -m tools.release`` (``make release``).

The commit is cloned twice and built twice; the builds must be the same bytes. Locks, SBOM and
provenance are written, what was built is installed and tried by
``tests/packaging/test_artefacts.py``, then it is signed if a key is given, and put into
``dist/septem-sidecar-VERSION``. Nothing is published.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.release.build import (
    ELSEWHERE,
    HERE,
    build,
    check_build_tools,
    compare,
    digests,
    has_cross_compiler,
)
from tools.release.errors import ReleaseFault
from tools.release.locks import Pin, own_pins, read_lock, write_lock
from tools.release.provenance import write_provenance
from tools.release.sbom import write_sbom
from tools.release.signing import check_key, sign, write_sums
from tools.release.source import Source, clone, problems_of, read_source

ROOT = Path(__file__).parents[2]
_PIP_SECONDS = 900


def main(arguments: list[str] | None = None) -> int:
    """Make a release; return the exit code: 1, with what is wrong, where there is none."""
    options = _parser().parse_args(arguments)
    try:
        made = _make(options)
    except ReleaseFault as fault:
        sys.stderr.write(f"release: {fault}\n")
        return 1
    _say(f"{made}:")
    for path in sorted(made.iterdir()):
        _say(f"  {path.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Make a release.")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument(
        "--sign-with",
        type=Path,
        metavar="FILE",
        help="minisign's secret key; its password is asked",
    )
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="what the signature must verify by"
    )
    parser.add_argument(
        "--builder", default="urn:septem:sidecar:builder:local", metavar="URI",
        help="who builds, as the provenance says it",
    )  # fmt: skip
    return parser


def _make(options: argparse.Namespace) -> Path:
    source = read_source(ROOT)
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*:[!-~]+", options.builder):
        raise ReleaseFault(f"--builder {options.builder}: a URI says who builds")
    if options.sign_with is not None:
        # Now, and not after minutes of building.
        if options.public_key is None or not options.public_key.is_file():
            raise ReleaseFault("--sign-with needs --public-key: the signature is verified by it")
        check_key(options.sign_with)
    target: Path = options.into / f"septem-sidecar-{source.version}"
    if target.exists():
        raise ReleaseFault(f"{target} exists: remove it, or name another folder by --into")
    options.into.mkdir(parents=True, exist_ok=True)
    # In the same file system, so that a whole release appears there or none.
    with tempfile.TemporaryDirectory(dir=options.into, prefix=".septem-release-") as name:
        work = Path(name)
        release = _build(source, work)
        _describe(source, release, work, options.builder)
        _try(release, work, source)
        if options.sign_with is not None:
            comment = f"septem-sidecar {source.version} commit {source.commit}"
            sign(release, options.sign_with, options.public_key, comment)
        release.replace(target)
    return target


def _build(source: Source, work: Path) -> Path:
    """Build twice, and compare; return the folder with the artefacts."""
    _say(f"septem-sidecar {source.version}, commit {source.commit}")
    if not source.tag:
        _say("no tag: this is a development version, and no release")
    tree = clone(source, ROOT, work / "tree", HERE.umask)
    if problems := problems_of(source, tree):
        raise ReleaseFault("; ".join(problems))
    check_build_tools((tree / "requirements/build.lock").read_text(encoding="utf-8"))
    if not has_cross_compiler():
        _say("no cross-compiler: the decision cache is not built for aarch64 (tools/get-c-tools)")
    _say("building, twice …")
    build(tree, work / "release", source.epoch, HERE)
    elsewhere = clone(source, ROOT, work / "another/folder/tree", ELSEWHERE.umask)
    build(elsewhere, work / "again", source.epoch, ELSEWHERE)
    compare(work / "release", work / "again")
    return work / "release"


def _describe(source: Source, release: Path, work: Path, builder: str) -> None:
    """Write the locks, the SBOM, the provenance and the checksums beside the artefacts."""
    tree = work / "tree"
    artefacts = digests(release)
    wheels = {name: sha256 for name, sha256 in artefacts.items() if name.endswith(".whl")}
    own = own_pins(wheels)
    cache = [pin for pin in own if pin.name == "septem-decision-cache"]
    ours = [pin for pin in own if pin not in cache]
    theirs = read_lock((tree / "requirements/runtime.lock").read_text(encoding="utf-8"))
    kafka = read_lock((tree / "requirements/kafka.lock").read_text(encoding="utf-8"))
    name = f"septem-sidecar-{source.version}"
    locks = {
        f"{name}.lock": ("The sidecar and all it needs", [*ours, *theirs]),
        "kafka.lock": ("The client of Kafka, for audit lines", kafka),
        "decision-cache.lock": ("The module that Envoy loads", cache),
    }
    for file, (what, pins) in locks.items():
        (release / file).write_text(write_lock(file, what, pins), encoding="utf-8")
    _say("listing what is in it (SBOM) …")
    (release / f"{name}.cdx.json").write_text(
        _sbom(source, release, work, [*ours, *theirs]), encoding="utf-8"
    )
    (release / f"{name}.intoto.json").write_text(
        write_provenance(digests(release), source, tree, builder), encoding="utf-8"
    )
    write_sums(release)


def _sbom(source: Source, release: Path, work: Path, pins: list[Pin]) -> str:
    """Return the SBOM of all pins, of those too that this Python alone would not need."""
    everywhere = [pin._replace(marker="") for pin in pins]
    lock = release / ".everywhere.lock"  # beside our wheels, which it names by "."
    lock.write_text(write_lock(lock.name, "Everything", everywhere), encoding="utf-8")
    try:
        wheels = work / "wheelhouse"
        checked = ["--require-hashes", "--no-deps", "-r", str(lock)]
        _pip(sys.executable, "download", "-d", str(wheels), *checked)
        listed, tool = work / "listed", work / "sbom"
        _venv(listed, "--without-pip")
        _pip(sys.executable, "--python", str(listed / "bin/python"), "install", "--no-compile",
             "--no-index", "--find-links", str(wheels), *checked)  # fmt: skip
        _venv(tool)
        locked = ["-r", str(work / "tree/requirements/release.lock")]
        binary = ["--require-hashes", "--only-binary", ":all:"]
        _pip(str(tool / "bin/python"), "install", *binary, *locked)
        return write_sbom(tool / "bin/cyclonedx-py", listed / "bin/python", lock, source.epoch)
    finally:
        lock.unlink()


def _try(release: Path, work: Path, source: Source) -> None:
    """Install what was built, offline, and try it."""
    _say("installing and trying it …")
    environment = {
        **os.environ,
        "SEPTEM_RELEASE": str(release),
        "SEPTEM_WHEELHOUSE": str(work / "wheelhouse"),
        "SEPTEM_COMMIT": source.commit,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/packaging/test_artefacts.py"], cwd=ROOT, env=environment, check=False
    )
    if done.returncode:
        raise ReleaseFault("what was built fails its tests")


def _venv(folder: Path, *options: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)


def _pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
    )
    if done.returncode:
        raise ReleaseFault(f"pip {arguments[0]}: {done.stderr.strip()[-2000:]}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
