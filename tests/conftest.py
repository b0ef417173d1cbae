"""Fixtures that the tests of every component share."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.minting import Issuer

# A busy machine draws slowly; that says nothing of what is tested.
settings.register_profile("septem", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("septem")

pytest_plugins = ["tests.support.real", "tests.support.side_by_side"]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """One issuer with one key, for the whole run."""
    return Issuer.generate()
