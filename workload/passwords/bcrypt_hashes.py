"""bcrypt, to verify what older systems stored and replace it: the extra ``bcrypt``.

SECURITY-MODEL §4 prohibits bcrypt for new hashes, and nothing here makes one. ``$2a$``, ``$2b$``
and ``$2y$`` are read; ``$2x$`` marks the hashes of a broken implementation and is not.

**One cost.** The costs that are stored are named, each is computed once for every password that is
compared: with the stored salt where it is the hash's, with nobody's otherwise.

**72 bytes.** bcrypt reads no more of a password. A longer one is compared by its first 72, as it
was when the hash was made, and is not replaced: its end was never checked, and a slip of the
finger would become the password. **NUL** ends a password in C, so what follows it was never
looked at: such a password matches nothing (RFC 8265 §4.2 does not allow it either).
"""

import hmac
import re

import bcrypt

from workload.settings import SettingsFault

_FORM = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})")
_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_READ_BYTES = 72
_MIN_COST, _MAX_COST = 4, 16
_MAX_COSTS = 4
_SALT_CHARACTERS, _DIGEST_CHARACTERS = 22, 31
_NOBODYS_SALT = "." * _SALT_CHARACTERS


class BcryptHashes:
    """Verifies bcrypt's hashes of the costs that are named: ``BcryptHashes(10, 12)``.

    Every refusal takes as long as one hash of each. A hash of another cost is not accepted.
    """

    def __init__(self, *costs: int) -> None:
        if not 0 < len(costs) <= _MAX_COSTS or len(set(costs)) != len(costs):
            raise SettingsFault(f"name 1 to {_MAX_COSTS} different costs of bcrypt")
        for cost in costs:
            if type(cost) is not int or not _MIN_COST <= cost <= _MAX_COST:
                raise SettingsFault(
                    f"a cost of bcrypt must be from {_MIN_COST} to {_MAX_COST}, and is {cost!r}"
                )
        self._costs = tuple(sorted(costs))
        self._absent = f"$2b${costs[0]:02}${'.' * (_SALT_CHARACTERS + _DIGEST_CHARACTERS)}"

    def owns(self, stored: str) -> bool:
        """Return whether it is a hash of bcrypt of an accepted cost."""
        found = _FORM.fullmatch(stored)
        return found is not None and int(found[1]) in self._costs

    def matches(self, raw: bytes, stored: str | None) -> bool:
        """Compare; each call takes what one hash of each cost takes."""
        known = stored is not None and self.owns(stored)
        found = _FORM.fullmatch(stored if stored is not None and known else self._absent)
        if found is None:  # neither can be
            return False
        mine, salt, kept = int(found[1]), _canonical(found[2]), found[3].encode("ascii")
        password = b"" if b"\x00" in raw else raw[:_READ_BYTES]
        same = False
        for cost in self._costs:
            digest = _digest(password, cost, salt if cost == mine else _NOBODYS_SALT)
            same |= hmac.compare_digest(digest, kept) and cost == mine
        return same and known and b"\x00" not in raw

    def holds_whole(self, raw: bytes) -> bool:
        """Return whether bcrypt reads all of a password."""
        return len(raw) <= _READ_BYTES


def _digest(password: bytes, cost: int, salt: str) -> bytes:
    """Return the 31 characters of a digest."""
    return bcrypt.hashpw(password, f"$2b${cost:02}${salt}".encode("ascii"))[-_DIGEST_CHARACTERS:]


def _canonical(salt: str) -> str:
    """Clear the four bits of a salt's last character that mean nothing; some writers set them."""
    return salt[:-1] + _ALPHABET[_ALPHABET.index(salt[-1]) & 0b110000]
