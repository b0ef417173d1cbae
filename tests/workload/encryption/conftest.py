"""An application's process with a real OpenBao and a real database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.encryption.databases import (
    SYNC_DRIVERS,
    FieldDatabase,
    KeyPlace,
    key_place,
    postgresql_database,
    sqlite_database,
)
from tests.workload.encryption.keys_in_hand import (
    ADMIN_POLICY,
    FaultyTransit,
    FieldProcess,
    HandClock,
    enable_kek,
    transit,
)


@pytest.fixture(scope="module")
def kek(openbao: OpenBao) -> OpenBao:
    """The shared OpenBao, with the KEK."""
    enable_kek(openbao)
    return openbao


@pytest.fixture
def database_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], FieldDatabase]:
    """Make an empty database of one dialect."""

    def make(dialect: str) -> FieldDatabase:
        if dialect == "sqlite":
            return sqlite_database(tmp_path)
        return postgresql_database(request.getfixturevalue("postgres"))

    return make


@pytest.fixture(params=SYNC_DRIVERS)
def database(
    request: pytest.FixtureRequest, database_of: Callable[[str], FieldDatabase]
) -> FieldDatabase:
    return database_of(request.param)


@pytest.fixture
def place(database: FieldDatabase) -> Iterator[KeyPlace]:
    made = key_place(database)
    yield made
    made.engine.dispose()


@pytest.fixture
def process(kek: OpenBao, place: KeyPlace, tmp_path: Path) -> FieldProcess:
    wrapper = FaultyTransit(transit(kek, ADMIN_POLICY, tmp_path))
    return FieldProcess(place, wrapper, HandClock())
