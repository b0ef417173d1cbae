"""Packs each built module into a wheel of its platform: ``decision_cache_wheels.py FOLDER``.

A wheel is a zip file with three texts beside its contents (PyPA's binary distribution format), so
no build tool is needed for a file that is compiled already. The wheel holds the module in a package
without code, ``septem_decision_cache``; its path is
``python -c "import septem_decision_cache as m; print(m.__path__[0])"``, which is what
``ENVOY_DYNAMIC_MODULES_SEARCH_PATH`` takes.
"""

import struct
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "envoy" / "decision_cache"
NAME, PACKAGE = "septem-decision-cache", "septem_decision_cache"
PLATFORMS = {62: "manylinux_2_34_x86_64", 183: "manylinux_2_34_aarch64"}
"""By ELF's number of the machine. glibc 2.34 is what a test allows the module to ask for."""
MACHINE = struct.Struct("<16xHH")
SUMMARY = (
    "The decision cache of Septem Sidecar: a dynamic module of Envoy that repeats its answers."
)
PACKED_AT = (2026, 1, 1, 0, 0, 0)
"""One time for all, so that the same module gives the same wheel."""


def pack(folder: Path, platform: str, module: Path, version: str) -> Path:
    """Write the wheel of one platform and return it."""
    info = f"{PACKAGE}-{version}.dist-info"
    tag = f"py3-none-{platform}"
    files = {
        f"{PACKAGE}/__init__.py": b'"""The module is beside this file."""\n',
        f"{PACKAGE}/{module.name}": module.read_bytes(),
        f"{info}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
        f"{info}/METADATA": (
            f"Metadata-Version: 2.4\nName: {NAME}\nVersion: {version}\nSummary: {SUMMARY}\n"
            "License-Expression: Apache-2.0\nLicense-File: LICENSE\nRequires-Python: >=3.11\n"
        ).encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: {Path(__file__).name}\n"
            f"Root-Is-Purelib: false\nTag: {tag}\n"
        ).encode(),
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{PACKAGE}-{version}-{tag}.whl"
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = ZipInfo(name, PACKED_AT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def _digest(data: bytes) -> str:
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def main(folder: Path) -> None:
    """Pack every module of this version that is built."""
    folder.mkdir(parents=True, exist_ok=True)
    version = (SOURCES / "VERSION").read_text().strip()
    modules = sorted((SOURCES / "build").rglob(f"lib{PACKAGE}-{version}-abi*.so"))
    if not modules:
        sys.exit(f"there is no module of version {version}; build it with: make decision-cache")
    for module in modules:
        _, machine = MACHINE.unpack_from(module.read_bytes())
        sys.stdout.write(f"{pack(folder, PLATFORMS[machine], module, version)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
