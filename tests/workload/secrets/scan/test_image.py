"""Images: an OCI layout, a tar of one, and what docker save writes."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workload.secrets.scan import samples
from workload.secrets.scan import image as image_module
from workload.secrets.scan.image import opened_image
from workload.secrets.scan.run import ScanResult, scan
from workload.secrets.scan.texts import MAX_FILE_BYTES
from workload.settings import SettingsFault

LEAK = f'key = "{samples.AWS}"\n'.encode()


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    return buffer.getvalue()


FIRST = {"app/config.py": LEAK, "app/large": b"x" * (MAX_FILE_BYTES + 1), "app/a.p12": b"\0\1"}
SECOND = {"app/.wh.config.py": b"", "app/fine.py": b"x = 1\n"}


def oci_layout(folder: Path, *layers: bytes, **config: Any) -> Path:
    """Write a layout whose index names an index that names the manifest."""

    def blob(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        path = folder / "blobs/sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def document(value: object) -> dict[str, object]:
        return blob(json.dumps(value).encode())

    manifest = {"config": document(config), "layers": [blob(each) for each in layers]}
    index = document({"manifests": [document(manifest)]})
    (folder / "index.json").write_text(json.dumps({"manifests": [index]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def as_tar(layout: Path) -> Path:
    path = layout.parent / "image.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(layout, ".")
    return path


def docker_save(folder: Path, *layers: bytes, **config: Any) -> Path:
    path = folder.parent / "saved.tar"
    files = {f"{number}/layer.tar": content for number, content in enumerate(layers)}
    manifest = [{"Config": "config.json", "Layers": list(files)}]
    files |= {
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    path.write_bytes(layer(files))
    return path


def scanned(path: Path) -> ScanResult:
    return scan([path], history=False, entropy=False)


@pytest.mark.parametrize(
    "form",
    [
        oci_layout,
        lambda folder, *layers, **config: as_tar(oci_layout(folder, *layers, **config)),
        docker_save,
    ],
    ids=["layout", "tar", "docker-save"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_layer_the_environment_and_the_history(
    tmp_path: Path, form: Callable[..., Path], pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "layout").mkdir()
    image = form(
        tmp_path / "layout",
        *(pack(layer(each)) for each in (FIRST, SECOND)),
        config={"Env": ["PATH=/bin", f"DB_PASSWORD={samples.PASSWORD}"]},
        history=[{"created_by": f"RUN curl {samples.URL}"}, {"created_by": "COPY"}],
    )
    result = scanned(image)
    assert {(each.kind, each.path) for each in result.findings} == {
        ("environment", "Env DB_PASSWORD"),
        ("url-password", "history"),
        ("aws-access-key", "app/config.py"),
        ("key-store", "app/a.p12"),
    }
    assert any("layer 1" in each.where for each in result.findings)
    assert [each.path.rpartition(": ")[2] for each in result.unread] == ["app/large"]
    assert samples.PASSWORD not in repr(result)


def no_layer(folder: Path) -> Path:
    return oci_layout(folder, b"no tar at all" * 100)


def no_blob(folder: Path) -> Path:
    oci_layout(folder, layer(SECOND))
    for blob in (folder / "blobs/sha256").iterdir():
        if tarfile.is_tarfile(blob):
            blob.unlink()
    return folder


def no_digest(folder: Path) -> Path:
    oci_layout(folder)
    (folder / "index.json").write_text('{"manifests": [{"digest": "sha256:../../../etc"}]}')
    return folder


def no_json(folder: Path) -> Path:
    oci_layout(folder)
    (folder / "index.json").write_text("[]")
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: oci_layout(folder, b"\x28\xb5\x2f\xfd" + b"x" * 600), "compressed by zstd"),
        (no_layer, "is no layer"),
        (no_blob, "is missing from the image"),
        (no_digest, "is no digest"),
        (no_json, "index.json is no JSON object"),
        (lambda folder: oci_layout(folder, gzip.compress(layer(FIRST))[:-200]), "is no layer"),
    ],
    ids=["zstd", "no-layer", "no-blob", "no-digest", "no-json", "cut"],
)
def test_what_can_t_be_read_is_no_clean_result(
    tmp_path: Path, spoil: Callable[[Path], Path], said: str
) -> None:
    image = spoil(tmp_path)
    with pytest.raises(SettingsFault, match=said):
        scanned(image)


def test_a_layer_that_unpacks_without_end_is_no_clean_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "MAX_LAYER_BYTES", 2 * MAX_FILE_BYTES)
    files = {str(number): b"x" * MAX_FILE_BYTES for number in range(3)}
    packed = oci_layout(tmp_path, gzip.compress(layer(files)))
    with pytest.raises(SettingsFault, match="layer 1 has more than 2097152 bytes of files"):
        scanned(packed)


def test_other_folders_and_archives_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(layer(SECOND))
    for path in (tmp_path, tmp_path / "a.tar", tmp_path / "nothing"):
        with opened_image(path) as image:
            assert image is None
