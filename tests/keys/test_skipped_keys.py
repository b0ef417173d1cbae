"""The keys that are not used: said when they appear, and shown."""

import logging

import pytest

from sidecar.keys.key_set import SkippedKey, SkipReason
from sidecar.keys.skipped_keys import SkippedKeys

ODD = SkippedKey("odd", SkipReason.UNUSABLE, "it is not a point on P-256")
FOR_ENCRYPTION = SkippedKey("enc", SkipReason.OTHER_USE, "its use is not sig")


def test_each_is_said_once_for_as_long_as_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("sidecar.keys")
    skipped = SkippedKeys("JWKS at https://idp.example", log)
    with caplog.at_level(logging.INFO, logger=log.name):
        for current in [(ODD,), (ODD, FOR_ENCRYPTION), (FOR_ENCRYPTION,), (ODD,)]:
            skipped.take(current)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    odd = "JWKS at https://idp.example: the key odd is not used: it is not a point on P-256"
    encryption = "JWKS at https://idp.example: the key enc is not used: its use is not sig"
    assert said == [("WARNING", odd), ("INFO", encryption), ("WARNING", odd)]
    assert skipped.current == (ODD,)


def test_they_are_counted_by_reason() -> None:
    skipped = SkippedKeys("x", logging.getLogger("sidecar.keys"))
    assert skipped.counts() == dict.fromkeys(SkipReason, 0)
    skipped.take((ODD, FOR_ENCRYPTION, ODD._replace(name="other")))
    assert skipped.counts() == {"unusable": 2, "other_use": 1, "private": 0, "twin_kid": 0}
