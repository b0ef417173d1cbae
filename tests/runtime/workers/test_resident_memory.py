"""A process's own figure of its memory."""

import os
from pathlib import Path

import pytest

from sidecar.runtime.workers.resident_memory import ResidentMemory


def test_it_is_the_kernels_figure() -> None:
    status = Path("/proc/self/status").read_text()
    kernels = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS"))
    assert ResidentMemory().read() == pytest.approx(kernels * 1024, rel=0.05)


def test_it_needs_no_new_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ResidentMemory()

    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    assert memory.read() > 0
    assert ResidentMemory().read() == 0, "where there is no such file"


@pytest.mark.parametrize("content", [b"", b"1", b"1 x"])
def test_what_can_not_be_read_is_zero(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: content)
    assert ResidentMemory().read() == 0
