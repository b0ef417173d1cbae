"""The list of what a release installs: a CycloneDX SBOM with licences and hashes.

cyclonedx-py (OWASP's) writes two: of an environment with the packages installed, which knows their
licences and what needs what, and of the lock, which knows their hashes. They are joined here. Both
are reproducible: no serial number, and the commit's date for a time.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.release.errors import ReleaseFault

_SECONDS = 300
LICENCES = {"protobuf": "BSD-3-Clause"}
"""Of packages whose metadata have a licence in words alone, which the tool leaves out."""


def write_sbom(tool: Path, environment: Path, lock: Path, epoch: int) -> str:
    """Return the SBOM as JSON, given ``cyclonedx-py``, a Python with all packages, and a lock."""
    installed = _run(tool, epoch, "environment", str(environment))
    locked = _run(tool, epoch, "requirements", str(lock))
    return json.dumps(join(installed, locked), indent=2, sort_keys=True) + "\n"


def _run(tool: Path, epoch: int, *arguments: str) -> dict[str, Any]:
    command = [str(tool), *arguments, "--output-reproducible", "--validate", "--of", "JSON"]
    command += ["--mc-type", "application", "-o", "-"]
    done = subprocess.run(
        command,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ReleaseFault(f"cyclonedx-py {arguments[0]}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def join(installed: Mapping[str, Any], locked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment's SBOM with the lock's hashes, and the sidecar as its subject.

    Raises ``ReleaseFault`` where the two do not name the same packages, or one has no licence.
    """
    hashes = {_key(each): list(_distributions(each)) for each in locked["components"]}
    components = {_key(each): dict(each) for each in installed["components"]}
    if hashes.keys() != components.keys():
        differ = sorted(" ".join(each) for each in hashes.keys() ^ components.keys())
        raise ReleaseFault(f"the environment is not what the lock says: {', '.join(differ)}")
    for key, component in components.items():
        if not component.get("licenses"):
            if key[0] not in LICENCES:
                raise ReleaseFault(f"{key[0]} names no licence: add it to {Path(__file__).name}")
            known = {"acknowledgement": "concluded", "id": LICENCES[key[0]]}
            component["licenses"] = [{"license": known}]
        # Where it was installed from is this machine's: the lock says where it comes from.
        others = [
            each
            for each in component.get("externalReferences", [])
            if not each["url"].startswith("file:")
        ]
        component["externalReferences"] = [*others, *hashes[key]]
    subject = next(key for key in components if key[0] == "septem-sidecar")
    return {
        **installed,
        "metadata": {
            **installed["metadata"],
            "component": {**components[subject], "type": "application"},
        },
        "components": [each for key, each in components.items() if key != subject],
    }


def _key(component: Mapping[str, Any]) -> tuple[str, str]:
    """Return the normalised name (PEP 503) and the version."""
    return re.sub(r"[-_.]+", "-", component["name"]).lower(), component["version"]


def _distributions(component: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield where a package comes from, with its hashes; our own from beside the lock."""
    for each in component.get("externalReferences", []):
        if each["type"] == "distribution":
            own = _key(component)[0].startswith("septem-")
            yield {**each, "url": "./" if own else each["url"]}
