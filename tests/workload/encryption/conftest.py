"""An application's process with a real OpenBao and a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.encryption.keys_in_hand import (
    ADMIN_POLICY,
    FaultyTransit,
    FieldProcess,
    HandClock,
    KeyPlace,
    enable_kek,
    key_place,
    transit,
)


@pytest.fixture(scope="module")
def kek(openbao: OpenBao) -> OpenBao:
    """The shared OpenBao, with the KEK."""
    enable_kek(openbao)
    return openbao


@pytest.fixture
def place(tmp_path: Path) -> Iterator[KeyPlace]:
    made = key_place(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def process(kek: OpenBao, place: KeyPlace, tmp_path: Path) -> FieldProcess:
    wrapper = FaultyTransit(transit(kek, ADMIN_POLICY, tmp_path))
    return FieldProcess(place, wrapper, HandClock())
