"""Fixtures that every room shares."""

import pytest

from tests.minting import Issuer

pytest_plugins = ["tests.real"]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """One issuer with one key, for the whole run."""
    return Issuer.generate()
