"""The layers and the configuration of a container image.

An image is an OCI layout (a folder, or a tar of it) or what ``docker save`` writes. Every layer is
read by itself: what a later layer removes is in the image all the same.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from workload.secrets.scan.findings import SecretFinding
from workload.secrets.scan.sources import Source, Unread
from workload.secrets.scan.texts import MAX_FILE_BYTES
from workload.secrets.scan.variables import find_in_image_config
from workload.settings import SettingsFault

MAX_CONFIG_BYTES = 4_194_304
MAX_LAYER_BYTES = 8 << 30
"""Bytes of a layer's files that are unpacked."""
MAX_IMAGES = 64
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_INDEXES = ("application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json")  # fmt: skip
_TAR_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError)


class ImageReader:
    """Reads one image. ``open_blob`` opens a file of the layout by its path in there."""

    def __init__(self, open_blob: Callable[[str], IO[bytes]], where: str) -> None:
        self._open = open_blob
        self._where = where

    def files(self) -> Iterator[Source | Unread]:
        """Yield the files of each layer. Raises ``SettingsFault`` for what is no image."""
        for number, path in enumerate(
            dict.fromkeys(layer for _, ls in self._images() for layer in ls), 1
        ):
            yield from self._layer(path, f"{self._where}, layer {number}")

    def variables(self) -> Iterator[SecretFinding]:
        """Yield secrets in the environment of the configuration."""
        for config, _ in self._images():
            settings = self._json(config).get("config")
            env = settings.get("Env") if isinstance(settings, dict) else None
            if isinstance(env, list):
                yield from find_in_image_config(self._where, [str(each) for each in env])

    def history(self) -> Iterator[Source]:
        """Yield the commands that made the image: an ``ARG`` stands in them."""
        for config, _ in self._images():
            steps = self._json(config).get("history")
            lines = [
                str(each.get("created_by", "")).replace("\n", " ")
                for each in (steps if isinstance(steps, list) else [])
                if isinstance(each, dict)
            ]
            yield Source(f"{self._where}, history", "history", "\n".join(lines).encode())

    def _images(self) -> list[tuple[str, list[str]]]:
        """Return the configuration and the layers of each image, as paths."""
        try:
            index = self._json("index.json")
        except KeyError:
            return self._saved()
        images: list[tuple[str, list[str]]] = []
        waiting = _list(index, "manifests")
        while waiting and len(images) < MAX_IMAGES:
            entry = waiting.pop(0)
            manifest = self._json(_blob(entry))
            if entry.get("mediaType") in _INDEXES or "manifests" in manifest:
                waiting += _list(manifest, "manifests")[:MAX_IMAGES]
            elif "config" in manifest:
                layers = [_blob(each) for each in _list(manifest, "layers")]
                images.append((_blob(manifest["config"]), layers))
        return images

    def _saved(self) -> list[tuple[str, list[str]]]:
        """Return the same of what ``docker save`` wrote before it wrote OCI layouts."""
        try:
            with self._open("manifest.json") as file:
                entries = json.loads(file.read(MAX_CONFIG_BYTES))
            return [(str(each["Config"]), [str(one) for one in each["Layers"]]) for each in entries]
        except (KeyError, TypeError, ValueError):
            raise SettingsFault(
                f"{self._where} is no image: no index.json, no manifest.json"
            ) from None

    def _json(self, path: str) -> dict[str, Any]:
        with self._open(path) as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        try:
            value = json.loads(raw) if len(raw) <= MAX_CONFIG_BYTES else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise SettingsFault(f"{self._where}: {path} is no JSON object of at most 4 MiB")
        return value

    def _layer(self, path: str, where: str) -> Iterator[Source | Unread]:
        try:
            with self._open(path) as file:
                if file.read(len(_ZSTANDARD)) == _ZSTANDARD:
                    raise SettingsFault(
                        f"{where} is compressed by zstd, which can't be read here; "
                        "write the image with gzip"
                    )
            with self._open(path) as file, tarfile.open(fileobj=file, mode="r|*") as layer:
                yield from _files(layer, where)
        except KeyError:
            raise SettingsFault(f"{where}: {path} is missing from the image") from None
        except _TAR_ERRORS as exc:
            raise SettingsFault(f"{where} is no layer: {type(exc).__name__}") from None


@contextmanager
def opened_image(path: Path) -> Iterator[ImageReader | None]:
    """Give a reader where ``path`` is an image, else ``None``."""
    if path.is_dir():
        yield ImageReader(_files_of(path), str(path)) if (path / "oci-layout").is_file() else None
    elif not path.is_file() or not tarfile.is_tarfile(path):
        yield None
    else:
        with tarfile.open(path) as archive:
            members = {
                each.name.removeprefix("./"): each for each in archive.getmembers() if each.isfile()
            }

            def open_member(name: str) -> IO[bytes]:
                return archive.extractfile(members[name]) or io.BytesIO()

            is_image = members.keys() & {"index.json", "manifest.json"}
            yield ImageReader(open_member, str(path)) if is_image else None


def _files_of(folder: Path) -> Callable[[str], IO[bytes]]:
    def open_file(name: str) -> IO[bytes]:
        try:
            return (folder / name).open("rb")
        except OSError:
            raise KeyError(name) from None

    return open_file


def _files(layer: tarfile.TarFile, where: str) -> Iterator[Source | Unread]:
    unpacked = 0
    for member in layer:
        if not member.isfile():
            continue
        unpacked += member.size
        if unpacked > MAX_LAYER_BYTES:
            raise SettingsFault(f"{where} has more than {MAX_LAYER_BYTES} bytes of files")
        path = member.name.removeprefix("./")
        if member.size > MAX_FILE_BYTES:
            yield Unread(f"{where}: {path}", f"more than {MAX_FILE_BYTES} bytes")
            continue
        opened = layer.extractfile(member)
        yield Source(where, path, opened.read() if opened is not None else b"")


def _list(table: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = table.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _blob(entry: Any) -> str:
    digest = str(entry.get("digest", "")) if isinstance(entry, dict) else ""
    algorithm, _, value = digest.partition(":")
    if not (algorithm.isalnum() and value.isalnum()):
        raise SettingsFault(f"the image names a blob by {digest[:80]!r}, which is no digest")
    return f"blobs/{algorithm}/{value}"
