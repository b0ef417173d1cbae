"""When checkpoints are made, what becomes of them, and what is said when there are none."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.audit_trail import checkpoints as module
from sidecar.audit_trail.checkpoints import CheckpointMaker
from sidecar.config import model
from sidecar.observability.alerts import Alert
from sidecar.observability.audit.chain import Head, read_trail_line
from sidecar.observability.audit.checkpoint import (
    Cause,
    Checkpoint,
    Verdict,
    make_note,
    read_note,
    split_notes,
)
from sidecar.vault.errors import VaultUnreachable
from tests.observability.audit.signed_trail import START, TRAIL, Signer
from tests.support.waiting import until


class World:
    """A chain, a log, a Vault and a clock, all of which do as they are told."""

    def __init__(self, file: Path | None = None) -> None:
        self.head = Head(TRAIL, 0)
        self.file_changes = 0
        self.synced = 0
        self.lines: list[bytes] = []
        self.lines_in = self.settled = 0
        self.clock = 1000.0
        self.fault: Exception | None = None
        self.during_sign: Callable[[], None] = lambda: None
        self.alerts: list[Alert] = []
        settings = model.CheckpointSettings(
            key="audit", seconds=60, file=None if file is None else str(file)
        )
        self.maker = CheckpointMaker(
            settings,
            self,
            self,
            sign=self.sign,
            origin=Signer().key.name,
            now=lambda: START + self.clock,
            clock=lambda: self.clock,
            say=self.alerts.append,
        )

    def sync(self) -> None:
        self.synced += 1

    def append(self, line: bytes) -> None:
        self.lines.append(line)

    async def sign(self, checkpoint: Checkpoint) -> str:
        self.during_sign()
        if self.fault is not None:
            raise self.fault
        signer = Signer()
        return make_note(checkpoint, signer.key, signer._private.sign(checkpoint.text))

    def write(self, lines: int = 1) -> None:
        self.head = Head(TRAIL, self.head.seq + lines, b"0a" * 32)

    async def turn(self, seconds: float = 0.0) -> Cause | None:
        """Let the time pass and do what is due; return what that was."""
        self.clock += seconds
        cause = self.maker._due()
        if cause is not None:
            await self.maker.make(cause)
        self.maker._watch()
        return cause


async def test_at_the_start_at_each_interval_and_at_each_rotation() -> None:
    world = World()
    assert await world.turn() is None, "nothing was written"
    world.write()
    assert await world.turn() is Cause.START
    assert await world.turn(59) is None
    assert await world.turn(1) is Cause.INTERVAL
    world.file_changes += 1
    assert await world.turn(1) is Cause.ROTATION
    assert await world.turn(1) is None
    assert await world.turn(60) is Cause.INTERVAL
    assert world.maker.made == {"start": 1, "interval": 2, "rotation": 1, "stop": 0}
    assert world.synced == 4, "what is signed is on the disk"


async def test_a_checkpoint_is_a_line_of_the_trail_and_is_kept_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path / "kept")
    for seq in (7, 9):
        world.head = Head(TRAIL, seq, b"0a" * 32)
        await world.turn(60)
    notes = []
    for line in world.lines:
        own = read_trail_line(line[:-1])
        assert own is not None
        notes.append(own.note)
    read = [read_note(note) for note in notes]
    assert [note.checkpoint.head.seq for note in read if note is not None] == [7, 9]
    assert all(note is not None and note.judge([Signer().key]) is Verdict.SIGNED for note in read)
    assert list(split_notes((tmp_path / "kept").read_text())) == notes
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600
    assert world.maker.last is not None
    assert world.maker.last.note == notes[-1]


async def test_while_vault_is_away_it_is_tried_again_and_the_newest_head_is_signed() -> None:
    world = World()
    world.write()
    world.fault = VaultUnreachable("Vault is away")
    assert await world.turn() is Cause.START
    assert await world.turn(9) is None
    world.write(100)
    assert await world.turn(1) is Cause.INTERVAL
    assert not world.lines
    assert world.maker.status.outcomes == {"VaultUnreachable": 2}
    world.fault = None
    assert await world.turn(10) is Cause.INTERVAL
    assert len(world.lines) == 1
    assert world.maker.last is not None
    assert world.maker.last.seq == 101


async def test_a_long_time_without_one_is_an_alert_and_so_is_its_end() -> None:
    world = World()
    await world.turn(10_000)
    assert not world.alerts, "there is nothing to sign"
    world.write()
    await world.turn()
    world.fault = VaultUnreachable("Vault is away")
    for _ in range(40):
        await world.turn(10)
    assert [each.state for each in world.alerts] == ["checkpoint_overdue"]
    assert "Vault is away" in world.alerts[0].message
    world.fault = None
    await world.turn(10)
    assert [each.state for each in world.alerts[1:]] == ["checkpoint_made"]


async def test_a_signature_that_comes_too_late_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_LINES", 10)
    world = World()
    world.write()
    world.during_sign = lambda: world.write(11)
    await world.turn()
    assert not world.lines
    assert "another one is made" in world.maker.status.problem
    world.during_sign = lambda: world.write(10)
    await world.turn(10)
    assert len(world.lines) == 1


async def test_a_rotation_during_a_checkpoint_has_one_of_its_own() -> None:
    world = World()
    world.write()

    def rotate() -> None:
        world.file_changes += 1

    world.during_sign = rotate
    assert await world.turn() is Cause.START
    world.during_sign = lambda: None
    assert await world.turn(1) is Cause.ROTATION


async def test_a_file_that_can_t_be_written_is_said_and_the_line_is_there(tmp_path: Path) -> None:
    world = World(tmp_path / "absent" / "kept")
    world.write()
    await world.turn()
    assert "can't be kept in" in world.maker.status.problem
    assert len(world.lines) == 1


async def test_the_last_one_waits_for_what_is_queued_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.write()
    world.lines_in = 1
    stopping = asyncio.create_task(world.maker.stop())
    await asyncio.sleep(0)
    assert not world.lines
    world.settled = 1
    await stopping
    note = read_trail_line(world.lines[0][:-1])
    assert note is not None
    assert "cause stop" in note.note
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.01)
    world.lines_in = 2
    await world.maker.stop()
    assert len(world.lines) == 1
    empty = World()
    await empty.maker.stop()
    assert not empty.lines


async def test_the_task_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.01)
    world = World()
    task = asyncio.create_task(world.maker.run())
    world.write()
    await until(lambda: world.lines, task=task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
