"""The module, built once for all tests of this folder."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "envoy" / "decision_cache"


@pytest.fixture(scope="session")
def built_module() -> Path:
    """Build the module as `make decision-cache` does, and return the file."""
    make = shutil.which("make")
    assert make is not None
    subprocess.run([make, "-s", "-C", str(SOURCES)], check=True, timeout=120)
    (module,) = (SOURCES / "build").glob("libseptem_decision_cache-*.so")
    return module
