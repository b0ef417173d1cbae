"""Settings that have a new name. The old name is refused, and the message says the new one.

A setting is never read under two names: a file would otherwise hold both, and one of them
would be ignored. A row stays for as long as files with the old name may exist.
"""

from collections.abc import Mapping

from sidecar.config.problem import Path

RENAMED: Mapping[str, str] = {
    "on_demand.residence_seconds": "on_demand.ttl_seconds",
}
"""The old path and the new one, without positions in lists (``routes.auth``)."""


def new_name(path: Path) -> str | None:
    """Return the path that a setting has today, or ``None`` if ``path`` is no old name."""
    return RENAMED.get(".".join(step for step in path if isinstance(step, str)))
