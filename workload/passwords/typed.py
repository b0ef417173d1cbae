"""What a user typed, as the bytes that are hashed. Pure.

The rule is PRECIS OpaqueString (RFC 8265 §4.2): spaces outside ASCII become U+0020, the text is
put into NFC, case is kept, nothing is trimmed; an empty text, control characters, unassigned
ones and those that are not seen are not allowed. So a password matches however a keyboard
composes ``é``.
"""

from typing import NamedTuple

from precis_i18n import get_profile

from workload.passwords.errors import PasswordRefused, RefusedBecause
from workload.settings import SettingsFault

MAX_BYTES = 1024
"""Of UTF-8, before and after normalisation: the work on what anybody may send is bounded."""
MIN_CHARACTERS = 15
"""Where a password is the only factor (NIST SP 800-63B-4 §3.1.1.2)."""
_LEAST_CHARACTERS = 8
"""Where it is one of two (there)."""
_MOST_CHARACTERS = 64
"""The longest password that a service must accept has at least as many (there)."""
_OPAQUE_STRING = get_profile("OpaqueString")


class Typed(NamedTuple):
    """UTF-8 of a password: normalised, and as it came, which is what older systems hashed."""

    normalised: bytes
    raw: bytes
    characters: int

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Typed(...)"


def read_typed(password: object) -> Typed | RefusedBecause:
    """Return what may be hashed, or why this is no password: no text, its characters, its length.

    What it takes depends on the text alone, and not on any account.
    """
    if not isinstance(password, str):
        return RefusedBecause.CHARACTERS
    if len(password) > MAX_BYTES:
        return RefusedBecause.TOO_LONG
    try:
        raw = password.encode()
        normalised = "" if len(raw) > MAX_BYTES else _OPAQUE_STRING.enforce(password)
    except UnicodeError:  # it holds the password, and must not be another exception's context
        return RefusedBecause.CHARACTERS
    held = normalised.encode()
    if not held or len(held) > MAX_BYTES:
        return RefusedBecause.TOO_LONG
    return Typed(held, raw, len(normalised))


def check_least(min_characters: int) -> None:
    """Refuse a policy that is weaker than the standard, or asks for more than people can type."""
    if not _LEAST_CHARACTERS <= min_characters <= _MOST_CHARACTERS:
        raise SettingsFault(
            f"min_characters must be from {_LEAST_CHARACTERS} to {_MOST_CHARACTERS}, "
            f"and is {min_characters!r}"
        )


def read_new(password: object, min_characters: int) -> Typed:
    """Return a new password's bytes. Raises ``PasswordRefused``."""
    typed = read_typed(password)
    if isinstance(typed, RefusedBecause):
        raise PasswordRefused(typed)
    if typed.characters < min_characters:
        raise PasswordRefused(RefusedBecause.TOO_SHORT)
    return typed
