import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demo.openbao import OpenBao
from demo.postgresql import PostgresServer, postgres_server
from demo.process import ManagedProcess
from demo.tenants.installing import Ground, install, start_example
from tests.examples.tenants.unix_client import Told, ask
from tests.support.waiting import wait_until


class RunningExample(NamedTuple):
    """The example, as it is installed by its README."""

    ground: Ground
    settings: Path
    process: ManagedProcess

    def ask(self, tenant: str | None, target: str, body: Any = None, **query: str) -> Told:
        headers = [] if tenant is None else [("x-tenant-id", tenant)]
        return ask(self.ground.socket, target, headers, body, **query)


def listens(process: ManagedProcess, path: Path) -> bool:
    assert process.returncode is None, process.tail()
    try:
        return ask(path, "/api/orders", []).status == 401
    except OSError:
        return False


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    openbao = OpenBao()
    try:
        with postgres_server() as postgres, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            yield Ground(folder, folder / "app.sock", openbao, postgres)
    finally:
        openbao.stop()


@pytest.fixture(scope="session")
def settings(ground: Ground) -> Path:
    return install(ground)


@pytest.fixture(scope="session")
def example(ground: Ground, settings: Path) -> Iterator[RunningExample]:
    with start_example(settings) as process:
        wait_until(lambda: listens(process, ground.socket), explain=process.tail)
        yield RunningExample(ground, settings, process)


@pytest.fixture(scope="session")
def postgres(ground: Ground) -> PostgresServer:
    return ground.postgres
