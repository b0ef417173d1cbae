"""``sidecar replay``: exit codes, output, and files that can't be trusted."""

import json
from pathlib import Path

import pytest

from sidecar.cli import replay as module
from sidecar.cli.replay import _ReplayProgress
from sidecar.replay.tally import Tally
from tests.cli.commands import Run
from tests.replay.changes import CHANGES
from tests.replay.lines import raw_line
from tests.replay.traffic import POLICY


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with policies of three kinds, and a log of two requests."""
    for name, change in (
        ("old", "nothing"), ("stricter", "the api gone"), ("wider", "the api public"),
        ("renamed", "a route renamed"),
    ):  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(CHANGES[change](POLICY))
    denied = raw_line(
        reason="role_missing", outcome="deny", status=403, decision_id="2", detail="none",
        path="/api/admin/x", route="admin", tenant="", subject="", kid="",
    )  # fmt: skip
    (tmp_path / "audit.jsonl").write_bytes(raw_line(decision_id="1") + b"\n" + denied + b"\n")
    return tmp_path


EXITS = [
    # The second request has every role; the policy lets it in, whatever was recorded.
    ("old", "any", 1), ("old", "gained", 1), ("old", "lost", 0), ("old", "nothing", 0),
    ("stricter", "lost", 1), ("stricter", "any", 1), ("stricter", "nothing", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fail_on", "code"), EXITS)
def test_the_exit_code_is_of_what_is_asked_for(
    run: Run, files: Path, name: str, fail_on: str, code: int
) -> None:
    log, config = files / "audit.jsonl", files / f"{name}.yaml"
    assert run("replay", log, "--config", config, "--fail-on", fail_on)[0] == code


def test_against_the_old_file_the_same_file_is_no_difference(run: Run, files: Path) -> None:
    log, old = files / "audit.jsonl", files / "old.yaml"
    code, out, _ = run("replay", log, "--config", old, "--against", old)
    assert code == 0
    assert "would lose access             0\n" in out
    assert "1 requests were decided otherwise when they were recorded" in out


def test_what_widens_comes_first_and_each_has_its_setting(run: Run, files: Path) -> None:
    both = files / "both.yaml"
    both.write_text(CHANGES["the api gone"](POLICY).replace("roles: [admin], ", ""))
    _, out, _ = run("replay", files / "audit.jsonl", "--config", both)
    gained, lost = out.index("WOULD GAIN ACCESS"), out.index("WOULD LOSE ACCESS")
    assert gained < lost
    assert "by      routes: none matches GET on app.example" in out[lost:]
    assert f"see     sidecar explain 1 --audit {files / 'audit.jsonl'}" in out[lost:]
    assert "before  deny 403 role_missing (route admin)" in out[gained:lost]


def test_as_json(run: Run, files: Path) -> None:
    log, config = files / "audit.jsonl", files / "stricter.yaml"
    _, out, _ = run("replay", log, "--config", config, "--json")
    found = json.loads(out)
    assert (found["requests"], found["lost"]["requests"]) == (2, 1)
    (lost,) = [each for each in found["groups"] if each["verdict"] == "lost"]
    assert lost["examples"] == ["1"]
    assert lost["after"]["reason"] == "route_unknown"


def test_standard_input_is_a_file(run: Run, files: Path) -> None:
    config = files / "old.yaml"
    code, out, _ = run("replay", "-", "--config", config, stdin=raw_line() + b"\nrubbish\n")
    assert code == 0
    assert "1 lines are no decisions, and were skipped." in out


UNREADABLE = {
    "absent": ["absent.jsonl"],
    "a folder": ["."],
    "a file without decisions": ["old.yaml"],
    "one of two": ["audit.jsonl", "absent.jsonl"],
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_cannot_be_read_is_no_difference_and_no_success(
    run: Run, files: Path, what: str, *, as_json: bool
) -> None:
    logs = [files / name for name in UNREADABLE[what]]
    options = ["--json"] if as_json else []
    code, out, err = run("replay", *logs, "--config", files / "old.yaml", *options)
    assert (code, out) == (2, "")
    assert str(logs[-1]) in (json.loads(err)["error"] if as_json else err)


def test_a_bad_configuration_is_said_as_everywhere(run: Run, files: Path) -> None:
    bad = files / "bad.yaml"
    bad.write_text("routes: 5")
    code, _, err = run("replay", files / "audit.jsonl", "--config", bad)
    assert code == 2
    assert "bad.yaml" in err


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_a_number_of_groups_that_is_none_is_a_mistake(run: Run, files: Path, top: str) -> None:
    log, config = files / "audit.jsonl", files / "old.yaml"
    assert run("replay", log, "--config", config, "--top", top)[0] == 2


def test_what_a_log_says_reaches_no_terminal_as_it_is(run: Run, files: Path) -> None:
    evil = "\x1b[2J\u202eevil\n"
    line = {**json.loads(raw_line()), "tenant": evil, "route": evil, "decision_id": evil,
            "reason": evil}  # fmt: skip
    log = files / "evil.jsonl"
    log.write_text(json.dumps(line) + "\n")
    _, out, _ = run("replay", log, "--config", files / "stricter.yaml")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\u001b[2J" in out


def test_progress_is_shown_on_a_terminal_after_two_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 1.9, 2.0, 2.5, 3.1])
    tally = Tally()
    tally.replayed = 5000
    progress = _ReplayProgress(tally, is_shown=True, now=lambda: next(times))
    progress.show()
    assert capsys.readouterr().err == ""
    progress.show()
    assert capsys.readouterr().err == "\r5,000 requests, 2,500 a second"
    progress.show()
    assert capsys.readouterr().err == ""
    progress.show()
    progress.clear()
    assert capsys.readouterr().err.endswith("a second\n")
    hidden = _ReplayProgress(tally, is_shown=False, now=lambda: 1e9)
    hidden.show()
    hidden.clear()
    assert capsys.readouterr().err == ""


def test_every_way_to_fail_is_one_of_the_kinds() -> None:
    assert set(module._FAILING) == {"lost", "gained", "any", "nothing"}
