"""The bounds of connections."""

import pytest

from sidecar.transport.limits import BufferAccount, Limits


@pytest.mark.parametrize(("message", "buffered", "held"), [(10, 20, 20), (30, 20, 30)])
def test_one_whole_message_always_fits(message: int, buffered: int, held: int) -> None:
    limits = Limits(max_message_bytes=message, max_buffered_bytes=buffered)
    assert limits.max_buffered_bytes == held


@pytest.mark.parametrize(("held", "overdrawn"), [(0, False), (10, False), (11, True)])
def test_an_account_is_overdrawn_above_its_maximum(held: int, overdrawn: bool) -> None:
    account = BufferAccount(10)
    account.held_bytes = held
    assert account.is_overdrawn is overdrawn
