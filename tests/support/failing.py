"""What to give to code that reports an exception where none is expected."""

from typing import NoReturn

import pytest


def fail_on(exc: Exception) -> NoReturn:
    """Fail the test with an exception that was reported to it."""
    pytest.fail(f"reported: {exc!r}")
