"""Writes a folder as an OCI image layout: the same bytes for the same tree, on any machine.

    python tools/oci_layout.py TREE LAYOUT [ARCHIVE]

One layer: files in the order of their names, all root's, with one date. The digest that is
printed is the manifest's, by which a registry knows the image. ARCHIVE is the layout as one tar
file, as `skopeo copy oci-archive:… docker://…` and `podman load` take it.
Source: the OCI image format specification 1.1.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1767225600"))
USER = "65532:65532"
_MEDIA = "application/vnd.oci.image"
_GZIP_LEVEL = 6
CONFIG: Mapping[str, Any] = {
    "User": USER,
    "Env": ["PATH=/usr/local/bin:/usr/bin", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"],
    "Entrypoint": ["sidecar"],
    "Cmd": ["serve", "--config", "/etc/septem/sidecar.yaml"],
    "StopSignal": "SIGTERM",
    "Labels": {
        "org.opencontainers.image.title": "Septem Sidecar",
        "org.opencontainers.image.licenses": "Apache-2.0",
    },
}
"""What the Dockerfile says too; a test compares them."""


class Built(NamedTuple):
    """What was written."""

    digest: str
    layer_bytes: int
    files: int
    tree_bytes: int


def write(tree: Path, layout: Path, version: str) -> Built:
    """Write the layout. Raises ``FileExistsError`` where there is one."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer = layer_of(tree)
    packed = gzip.compress(layer, _GZIP_LEVEL, mtime=0)
    created = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created": created, "created_by": "tools/image_tree.py"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": _put(blobs, _json(config), f"{_MEDIA}.config.v1+json"),
        "layers": [_put(blobs, packed, f"{_MEDIA}.layer.v1.tar+gzip")],
    }
    listed = _put(blobs, _json(manifest), f"{_MEDIA}.manifest.v1+json")
    listed["annotations"] = {"org.opencontainers.image.ref.name": version}
    index = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.index.v1+json",
        "manifests": [listed],
    }
    (layout / "index.json").write_bytes(_json(index))
    (layout / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    return Built(listed["digest"], len(packed), len(files), size)


def layer_of(tree: Path) -> bytes:
    """Return the tree as a tar file that does not tell where and when it was made."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(tree.rglob("*")):
            member = archive.gettarinfo(path, str(path.relative_to(tree)))
            if member.islnk():  # the same file twice: which is first is chance
                member.type, member.linkname = tarfile.REGTYPE, ""
                member.size = path.stat().st_size
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = EPOCH
            member.mode = _mode(member)
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
    return made.getvalue()


def _mode(member: tarfile.TarInfo) -> int:
    """Return permissions that no umask changed: nothing is writable, no set-user-id."""
    if member.issym():
        return 0o777
    if member.isdir():
        return 0o1777 if member.name == "tmp" else 0o755
    return 0o755 if member.mode & 0o100 else 0o644


def write_archive(layout: Path, archive: Path) -> None:
    """Write the layout as one tar file, again without names and times of this machine."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as made:
        for path in sorted(each for each in layout.rglob("*") if each.is_file()):
            member = tarfile.TarInfo(str(path.relative_to(layout)))
            member.size, member.mtime, member.mode = path.stat().st_size, EPOCH, 0o644
            with path.open("rb") as file:
                made.addfile(member, file)


def packages(tree: Path) -> Iterator[str]:
    """Yield what is in the image: Debian's packages, then Python's."""
    for path in sorted((tree / "var/lib/dpkg/status.d").iterdir()):
        version = next(
            line for line in path.read_text().splitlines() if line.startswith("Version: ")
        )
        yield f"{path.name} {version.removeprefix('Version: ')}"
    for path in sorted(tree.glob("usr/local/lib/*/dist-packages/*.dist-info")):
        yield " ".join(path.name.removesuffix(".dist-info").rsplit("-", 1))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _put(blobs: Path, data: bytes, media: str) -> dict[str, Any]:
    digest = _digest(data)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media, "digest": digest, "size": len(data)}


def main(arguments: list[str]) -> None:
    """Write the layout, and the archive if one is named; print what is in it."""
    tree, layout = Path(arguments[0]), Path(arguments[1])
    version = next(
        line.rpartition(" ")[2] for line in packages(tree) if line.startswith("septem_sidecar ")
    )
    built = write(tree, layout, version)
    if arguments[2:]:
        write_archive(layout, Path(arguments[2]))
    sizes = f"{built.files} files, {built.tree_bytes / 1e6:.1f} MB"
    layer = f"layer {built.layer_bytes / 1e6:.1f} MB"
    tag = version.replace("+", "-")  # a registry's tags have no "+"
    lines = [*packages(tree), "", sizes, layer, f"septem-sidecar:{tag} {built.digest}"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
