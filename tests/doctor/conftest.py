"""One OpenBao that has all that the configurations of this folder name."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from demo.openbao import OpenBao
from sidecar.config import model
from tests.doctor.world import configuration, fill
from tests.support.minting import Issuer
from tests.support.real import started

Make = Callable[[str], model.Config]


@pytest.fixture(scope="module")
def filled(issuer: Issuer) -> Iterator[OpenBao]:
    server = started()
    fill(server, issuer)
    yield server
    server.stop()


@pytest.fixture
def make(filled: OpenBao, tmp_path: Path) -> Iterator[Make]:
    """Returns a configuration, whose sockets are in a folder of a short name."""
    folders: list[Path] = []

    def made(name: str) -> model.Config:
        folders.append(Path(mkdtemp(prefix="septem-")))
        return configuration(name, folders[-1], filled.address, tmp_path / "token")

    yield made
    for each in folders:
        shutil.rmtree(each)
