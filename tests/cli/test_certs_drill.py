"""``sidecar certs drill``: what it can be asked, and how it tells what came."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.certificates.drill.component import DrillOptions
from sidecar.certificates.drill.drill import FAILED, OK, SKIPPED, DrillResult
from sidecar.certificates.drill.plan import Acme
from sidecar.cli import certs_drill
from tests.cli.commands import Run
from tests.config.test_certificates import PKI, text

GOOD = DrillResult("edge", "internal", OK, "", "4a", 1_800_000_000.0, 0.25, "takes it")
BAD = DrillResult("shop\x1b", "public", FAILED, "the CA's reason", seconds=1.0)
NOT = DrillResult("late", "public", SKIPPED, "not now")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "sidecar.yaml"
    path.write_text(text(PKI))
    return path


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> list[DrillResult]:
    """What the drill finds; the drill itself is tested with real parts."""
    results: list[DrillResult] = []

    async def run(_config: Any, asked: DrillOptions) -> list[DrillResult]:
        came_options.append(asked)
        return results

    came_options.clear()
    monkeypatch.setattr(certs_drill, "run_drill", run)
    return results


came_options: list[DrillOptions] = []


def test_a_table_with_a_line_for_each(run: Run, config: Path, came: list[DrillResult]) -> None:
    came += [GOOD, BAD, NOT]
    code, out, err = run("certs", "drill", "--config", config, "--no-envoy")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].split() == [
        "name", "issuer", "outcome", "serial", "ends", "seconds", "Envoy", "detail",
    ]  # fmt: skip
    assert lines[1].split()[:6] == [
        "edge", "internal", "ok", "4a", "2027-01-15T08:00:00+00:00", "0.2",
    ]  # fmt: skip
    assert "the CA's reason" in lines[2]
    assert lines[4] == "1 would be served, 1 failed, 1 not ordered"
    assert len(lines) == 5
    assert err == "no Envoy was asked: --envoy PROGRAM names one\n"
    assert "\x1b" not in out


STATUS: list[tuple[str, list[DrillResult], int]] = [
    ("all well", [GOOD], 0),
    ("all well but what is not ordered", [GOOD, NOT], 0),
    ("one failed", [GOOD, BAD, NOT], 1),
    ("nothing was ordered", [NOT], 3),
    ("nothing there is", [], 3),
]


@pytest.mark.parametrize(("results", "status"), [r[1:] for r in STATUS], ids=[r[0] for r in STATUS])
def test_the_exit_status(
    run: Run, config: Path, came: list[DrillResult], results: list[DrillResult], status: int
) -> None:
    came += results
    code, _, _ = run("certs", "drill", "--config", config, "--json")
    assert code == status


def test_what_is_asked_for(run: Run, config: Path, came: list[DrillResult]) -> None:
    came += [GOOD]
    run("certs", "drill", "a", "b", "a", "--config", config, "--limit", "3", "--acme-directory",
        "https://staging.example/dir", "--envoy", "/bin/true", "--store", "secret/a/b",
        "--timeout", "9", "--stored-keys")  # fmt: skip
    (asked,) = came_options
    assert asked == DrillOptions(
        ("a", "b"), 3, Acme.STAGING, "https://staging.example/dir", "/bin/true",
        stored_keys=True, store=("secret", "a/b"), order_seconds=9.0,
    )  # fmt: skip


WRONG: list[tuple[str, tuple[str, ...], int, str]] = [
    ("a limit", ("--limit", "1001"), 2, "is not a number from 0 to 1000"),
    ("a limit below", ("--limit", "-1"), 2, "is not a number from 0 to 1000"),
    ("a time", ("--timeout", "0"), 2, "is not more than 0"),
    ("no time", ("--timeout", "nan"), 2, "is not more than 0"),
    ("both CAs", ("--acme", "--acme-directory", "https://a/"), 2, "not allowed with"),
    ("an Envoy and none", ("--envoy", "/bin/true", "--no-envoy"), 2, "not allowed with"),
    ("an Envoy that is none", ("--envoy", "/none"), 1, "--envoy '/none' is no program"),
    ("a mount alone", ("--store", "secret"), 1, "--store 'secret' must be a mount and a path"),
    ("a path upwards", ("--store", "secret/../x y"), 1, "must be a mount and a path in it"),
]


@pytest.mark.parametrize("row", WRONG, ids=[r[0] for r in WRONG])
def test_what_can_not_be_is_refused(
    run: Run,
    config: Path,
    came: list[DrillResult],
    row: tuple[str, tuple[str, ...], int, str],
) -> None:
    _, options, status, why = row
    code, _, err = run("certs", "drill", "--config", config, *options)
    assert (code, came_options) == (status, [])
    assert why in err
    assert came == []
