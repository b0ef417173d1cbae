"""The listed keys of one source that are not used: said once, and shown for as long as it lasts."""

import logging
from collections import Counter

from sidecar.keys.key_set import SkippedKey, SkipReason


class SkippedKeys:
    """What a source's last statement listed and is not used."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        """``name`` is the source's, for the log."""
        self._name = name
        self._log = log
        self.current: tuple[SkippedKey, ...] = ()

    def take(self, skipped: tuple[SkippedKey, ...]) -> None:
        """Hold what is skipped now, and log what was not before.

        A key for another use is nothing to warn of.
        """
        before, self.current = frozenset(self.current), skipped
        for each in skipped:
            if each not in before:
                level = logging.INFO if each.reason is SkipReason.OTHER_USE else logging.WARNING
                self._log.log(
                    level,
                    "%s: the key %s is not used: %s",
                    self._name,
                    each.name,
                    each.why,
                    extra={"reason": each.reason},
                )

    def counts(self) -> dict[str, int]:
        """Return how many keys are skipped, by reason; every reason is there."""
        found = Counter(each.reason for each in self.current)
        return {each: found[each] for each in SkipReason}
