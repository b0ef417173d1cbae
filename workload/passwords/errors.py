"""What can go wrong with a password, and whose doing it is."""

from enum import StrEnum

from workload.errors import Fault


class RefusedBecause(StrEnum):
    """Why nobody may have a password; a form shows its user a sentence of its own for each."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CHARACTERS = "characters"
    """Empty, control characters, unassigned ones: what RFC 8265 §4.2 does not allow."""
    BREACHED = "breached"


class PasswordRefused(Exception):
    """A new password is not accepted. Neither the message nor the exception holds it."""

    def __init__(self, reason: RefusedBecause) -> None:
        super().__init__(f"the password is rejected: {reason}")
        self.reason = reason


class HashingBusy(Fault):
    """More passwords wait than may, or one waited too long: answer 503 with ``Retry-After``.

    It says nothing about the account or the password.
    """

    retryable = True

    def __init__(self, why: str, retry_after_seconds: float) -> None:
        super().__init__(f"{why}; try again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class BreachedListFault(Fault):
    """The list of breached passwords can't be read, so no new password is accepted."""

    remedy = "Download the list again, sorted by hash."
