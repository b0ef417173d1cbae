"""A service that tells which of its Checks took the slow path."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

from sidecar.authz.service import CheckService
from sidecar.authz.slow_path import SlowPath


class CountedSlowPath(SlowPath):
    """Counts its answers."""

    answers = 0

    def answer(self, *arguments: Any, **options: Any) -> bytes | Awaitable[bytes]:
        self.answers += 1
        return super().answer(*arguments, **options)


def counted_service(*arguments: Any, **options: Any) -> tuple[CheckService, Callable[[], int]]:
    """Return a service, and how many Checks have taken its slow path."""
    with patch("sidecar.authz.service.SlowPath", CountedSlowPath):
        service = CheckService(*arguments, **options)
    slow_path = service._slow_path
    assert isinstance(slow_path, CountedSlowPath)
    return service, lambda: slow_path.answers
