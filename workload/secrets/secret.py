"""A secret that is shown by its place, and never by its value. Pure."""

import hmac
from typing import NoReturn

from workload.secrets.errors import SecretsFault


class Secret:
    """A text that only ``reveal`` gives out.

    What prints, logs, compares or stores objects gets none of it: ``str``, ``repr`` and
    f-strings name the place, equality takes constant time, and ``pickle`` and ``copy`` fail.
    """

    __slots__ = ("_text", "where")

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self.where = where

    def reveal(self) -> str:
        """Return the text. Pass it on at once; keep the ``Secret``."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({self.where})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        raise SecretsFault(f"{self.where}: a secret is no key of a table")

    def __reduce__(self) -> NoReturn:
        raise SecretsFault(f"{self.where}: a secret is neither pickled nor copied")
