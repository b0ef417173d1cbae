"""Entries of keys in a real OpenBao, a place for each test."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail.key_store import KeyPlace
from tests.audit_trail.logins import Login

_NUMBERS = itertools.count()


@pytest.fixture
def place() -> KeyPlace:
    return KeyPlace("secret", f"audit/pseudonyms-{next(_NUMBERS)}")


@pytest.fixture
async def login(openbao: OpenBao, tmp_path: Path, place: KeyPlace) -> AsyncIterator[Login]:
    made = Login(openbao, tmp_path, place)
    yield made
    await made.close()
