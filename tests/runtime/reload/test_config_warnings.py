"""Warnings of the configuration in force: each is logged once, and all are counted."""

from pathlib import Path

import pytest

from sidecar.runtime.reload.config_warnings import FACT, MAX_LOGGED, ConfigWarnings


def test_only_what_is_new_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    facts: dict[str, str] = {}
    warnings = ConfigWarnings(Path("/etc/sidecar.yaml"), facts)
    warnings.show(("a", "b"))
    assert caplog.messages == ["/etc/sidecar.yaml: a", "/etc/sidecar.yaml: b"]
    assert facts[FACT].startswith("2: ")
    warnings.show(("b", "c"))
    assert caplog.messages[2:] == ["/etc/sidecar.yaml: c"]
    warnings.show(())
    assert (facts, warnings.found) == ({}, ())


def test_of_many_the_first_are_logged_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warnings = ConfigWarnings(Path("f"), {})
    warnings.show(tuple(map(str, range(MAX_LOGGED + 7))))
    assert len(caplog.messages) == MAX_LOGGED + 1
    assert "7 more warnings" in caplog.messages[-1]
