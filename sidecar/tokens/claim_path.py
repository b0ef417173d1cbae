"""The path of a claim, from the payload down: ``realm_access.roles``, ``"cognito:groups"``.

Names are separated by dots. A name of other characters than letters, digits, ``_`` and ``-``
stands in double quotes. ``*`` steps into the only member of an object, or the only element of
an array; where there are several, what is meant is ambiguous and the token is denied: never the
first one. The form is ``sidecar.config.claims.ClaimPath``'s.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

_SEGMENT = re.compile(r'"([^"]+)"|([^."]+)')
_ONLY = None
"""The segment ``*``: a name can't be it, because ``"*"`` in quotes is a name."""


class ClaimPath(NamedTuple):
    """A path as it is written, and its names; ``None`` for ``*``."""

    text: str
    first: str
    below: tuple[str | None, ...]

    def __str__(self) -> str:
        """Return it as it is written."""
        return self.text

    @property
    def segments(self) -> tuple[str | None, ...]:
        """All names, from the payload down."""
        return (self.first, *self.below)

    def find(self, payload: Mapping[str, Any]) -> Any:
        """Return the value at the path; ``None`` where there is none, or JSON's ``null``.

        Raises ``Denied(claim_malformed)`` where ``*`` stands for several.
        """
        value = payload.get(self.first)
        for segment in self.below:
            if segment is _ONLY:
                value = self._only(value)
            elif isinstance(value, dict):
                value = value.get(segment)
            else:
                return None
        return value

    def require(self, payload: Mapping[str, Any]) -> Any:
        """Return the value at the path; raise ``Denied(claim_missing)`` where there is none."""
        value = self.find(payload)
        if value is None:
            raise Denied(Reason.CLAIM_MISSING, f"claim {self.text!r} is missing")
        return value

    def malformed(self, expected: str) -> Denied:
        """Return the denial of a value that is not what it must be."""
        return Denied(Reason.CLAIM_MALFORMED, f"claim {self.text!r} must be {expected}")

    def _only(self, value: Any) -> Any:
        if not isinstance(value, dict | list) or not value:
            return None
        if len(value) > 1:
            raise Denied(
                Reason.CLAIM_MALFORMED,
                f"claim {self.text!r} is ambiguous: * stands for one member, there are "
                f"{len(value)}",
            )
        (only,) = value.values() if isinstance(value, dict) else value
        return only


def parse_claim_path(text: str) -> ClaimPath:
    """Read a path that has the form of the setting."""
    (quoted, plain), *others = _SEGMENT.findall(text)
    below = tuple(name or (None if other == "*" else other) for name, other in others)
    return ClaimPath(text, quoted or plain, below)
