"""What can go wrong with encrypted fields and their keys."""

from workload.errors import Fault


class ValueDoesNotOpen(Fault):
    """A value was cut, changed, moved, or sealed under a key that is not there.

    The message never says which: whoever can write into the database could learn from it.
    """

    def __init__(self) -> None:
        super().__init__("the sealed value does not open")


class FieldKeysAway(Fault):
    """The keys can't be had now: Vault or the key store is away, and no copy may still be used."""

    retryable = True
    is_outage = True


class FieldKeysDestroyed(Fault):
    """The keys were destroyed on purpose, and what they sealed can't be read any more."""


class FieldKeysMissing(Fault):
    """There are no keys, or they can't be what they say they are."""


class FieldInputFault(Fault):
    """A value, a row id or a setting can't be meant so. The message quotes no value."""
