"""The lock that a release is installed by: our wheels and all they need, each by its hash.

One command does it, ``pip install --require-hashes -r septem-sidecar-VERSION.lock``: the lock says
itself where our wheels are (beside it), and that nothing is built. A package of our name and
version in an index has another hash, and is not taken.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^ ;\\]+)(?: ; ([^\\]+?))? \\")
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?")
_HEAD = """\
# {what}, each package by its hash. Install it with:
#   pip install --require-hashes -r {name}
# Our own wheels are beside this file. Nothing is built, and so nothing else is fetched.
--find-links .
--only-binary :all:
"""


class Pin(NamedTuple):
    """A package of a lock. ``marker`` says where it is needed; empty for everywhere."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def __str__(self) -> str:
        """Return its lines in a lock."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = " \\\n".join(f"    --hash=sha256:{each}" for each in self.hashes)
        return f"{self.name}=={self.version}{marker} \\\n{hashes}\n"


def read_lock(text: str) -> list[Pin]:
    """Return what a lock of ours pins. Raises ``ValueError`` for a line that is none of its kinds.

    A package without a hash is such a line.
    """
    return list(_pins(text))


def _pins(text: str) -> Iterator[Pin]:
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    while lines:
        found = _PIN.fullmatch(lines[0])
        if found is None:
            raise ValueError(f"no pin with a hash: {lines[0]}")
        del lines[0]
        hashes = []
        while lines and (each := _HASH.fullmatch(lines[0])):
            hashes.append(each[1])
            del lines[0]
        if not hashes:
            raise ValueError(f"no hash: {found[1]}")
        yield Pin(found[1], found[2], found[3] or "", tuple(hashes))


def write_lock(name: str, what: str, pins: list[Pin]) -> str:
    """Return the lock ``name`` of a release, as it is installed."""
    return _HEAD.format(what=what, name=name) + "".join(map(str, pins))


def own_pins(wheels: Mapping[str, str]) -> list[Pin]:
    """Return the pins of our wheels, given their SHA-256 by their names.

    Wheels of one package for several platforms are one pin with several hashes.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for wheel, sha256 in sorted(wheels.items()):
        package, version, _ = wheel.split("-", 2)
        found.setdefault((package.replace("_", "-"), version), []).append(sha256)
    return [Pin(name, version, "", tuple(hashes)) for (name, version), hashes in found.items()]
