"""The statement of how the artefacts were built: in-toto Statement v1 with SLSA provenance v1.

It has no time and no name of the machine: who builds the same commit with the same tools writes
the same statement. What it is worth is what its signature is worth, and that it can be built again.
Sources: in-toto Attestation Framework, Statement v1; https://slsa.dev/spec/v1.0/provenance.
"""

import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.release.build import CROSS_COMPILER, digest, has_cross_compiler
from tools.release.locks import read_lock
from tools.release.source import Source

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:septem:sidecar:release:v1"
"""The kind of build: ``docs/release.md`` says what its parameters mean."""
MATERIALS = tuple(f"requirements/{name}.lock" for name in ("runtime", "build", "kafka", "release"))


def write_provenance(subjects: Mapping[str, str], source: Source, tree: Path, builder: str) -> str:
    """Return the statement about artefacts, given by their names with their SHA-256."""
    return json.dumps(statement(subjects, source, tree, builder), indent=2, sort_keys=True) + "\n"


def statement(
    subjects: Mapping[str, str], source: Source, tree: Path, builder: str
) -> dict[str, Any]:
    """Return the statement. ``builder`` is the URI of who built: the trust rests on it."""
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "ref": source.tag or source.commit,
                    "command": "make release",
                },
                "internalParameters": {
                    "SOURCE_DATE_EPOCH": source.epoch,
                    "version": source.version,
                    "python": platform.python_version(),
                    "compilers": compilers(),
                },
                "resolvedDependencies": [_commit(source), *_materials(tree), *_tools(tree)],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }


def _commit(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "source", "digest": {"gitCommit": source.commit}}
    return {**found, "uri": f"{source.uri}@{source.tag or source.commit}"} if source.uri else found


def _materials(tree: Path) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digest(tree / name)}} for name in MATERIALS]


def _tools(tree: Path) -> list[dict[str, Any]]:
    """Return what builds the wheels. A digest is of the wheel or of the sdist, as in the lock."""
    pins = read_lock((tree / "requirements/build.lock").read_text(encoding="utf-8"))
    return [
        {"uri": f"pkg:pypi/{pin.name}@{pin.version}", "digest": {"sha256": each}}
        for pin in pins
        for each in pin.hashes
    ]


def compilers() -> dict[str, str]:
    """Return the version of each compiler of the decision cache: another one may differ."""
    names = ["gcc", *([CROSS_COMPILER] if has_cross_compiler() else [])]
    return {name: _first_line(name) for name in names}


def _first_line(program: str) -> str:
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.partition("\n")[0]
