"""One difference between two configurations, in the words of what changes for whom."""

from enum import IntEnum
from typing import NamedTuple


class Effect(IntEnum):
    """What a difference does to what is allowed."""

    OTHER = 0
    NARROWS = 1
    WIDENS = 2
    """Somebody or something is let in, or may be, that was not."""

    @property
    def word(self) -> str:
        """Return it as it is shown."""
        return self.name.lower()


class Difference(NamedTuple):
    """What changes at a setting (``tokens.issuers[https://iam.example].audiences``)."""

    effect: Effect
    where: str
    text: str
