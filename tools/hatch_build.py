"""Writes the commit into the sidecar's wheel and sdist, as ``sidecar/build.json``.

hatchling loads this file when it builds. An sdist has the record already, and a wheel of it takes
it from there; an editable installation has none, and ``sidecar --version`` asks git then.
"""

import json
import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

RECORD = "sidecar/build.json"


class BuildRecord(BuildHookInterface[Any]):
    """hatchling's hook: ``initialize`` before a build, ``finalize`` after it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the record to what is packed."""
        root = Path(self.root)
        if version == "editable":
            return
        if (root / "PKG-INFO").exists():
            # Forced here too: such files come last, and the wheel has the same order either way.
            build_data["force_include"][str(root / RECORD)] = RECORD
            return
        source = runpy.run_path(str(root / "workload/source_version.py"))["source_of"]
        found = source(root, os.environ)
        # hatchling has asked for the version before; if the tree changed meanwhile, start again.
        if found.version != self.metadata.version:
            raise RuntimeError("the tree changed while it was built: build it again")
        record = {"version": found.version, "commit": found.commit, "modified": found.modified}
        self._folder = tempfile.TemporaryDirectory(prefix="septem-build-")
        path = Path(self._folder.name) / "build.json"
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")
        path.chmod(0o644)
        build_data["force_include"][str(path)] = RECORD

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        """Remove the file that was packed."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
