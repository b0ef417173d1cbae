"""``sidecar certs renew``: says what came, by words and by its exit status."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.certs_renew import outcome_of
from sidecar.cli.main import main
from tests.cli.admin_port import Admin
from tests.support.waiting import wait_until


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    made = Admin(f"unix:{tmp_path / 'admin.sock'}")
    yield made
    made.stop()


Renew = Callable[..., tuple[int, str]]


@pytest.fixture
def renew(admin: Admin, capsys: pytest.CaptureFixture[str]) -> Renew:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["certs", "renew", *arguments, "--admin", admin.address])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_the_new_serial_and_its_end(admin: Admin, renew: Renew) -> None:
    before = admin.serial("edge")
    code, out = renew("edge")
    assert code == 0
    assert admin.serial("edge") not in {before, ""}
    assert out.startswith(f"edge: renewed, serial {admin.serial('edge')}, ends 20")


def test_several_at_once_each_with_its_line(admin: Admin, renew: Renew) -> None:
    code, out = renew("edge", "orders", "edge", "--json")
    assert code == 0
    rows: list[dict[str, Any]] = json.loads(out)["certificates"]
    assert [(row["name"], row["outcome"], row["serial"]) for row in rows] == [
        (name, "renewed", admin.serial(name)) for name in ("edge", "orders")
    ]
    assert admin.issuer.asked == 4


def test_it_waits_for_an_order_that_takes_its_time(admin: Admin, renew: Renew) -> None:
    admin.issuer.may_answer.clear()
    asked = admin.issuer.asked

    def release() -> None:
        wait_until(lambda: admin.issuer.asked > asked)
        admin.issuer.may_answer.set()

    releasing = threading.Thread(target=release)
    releasing.start()
    code, out = renew("edge")
    releasing.join()
    assert (code, out.partition(",")[0]) == (0, "edge: renewed")


def test_what_is_under_way_when_the_time_is_over(admin: Admin, renew: Renew) -> None:
    admin.issuer.may_answer.clear()
    code, out = renew("edge", "--wait", "0.3")
    assert code == 3
    assert out == (
        f"edge: the order is still under way; served is serial {admin.serial('edge')}, "
        f"ends {out.strip().rpartition(' ')[2]}\n"
    )
    admin.issuer.may_answer.set()


def test_what_nobody_answers_is_open_and_is_told_when_it_is_tried_again(
    admin: Admin, renew: Renew
) -> None:
    admin.issuer.failing = admin.issuer.is_outage = True
    renew("edge", "--wait", "0")
    managed = admin.manager.get("edge")
    assert managed is not None
    wait_until(lambda: managed.failures)
    code, out = renew("edge", "--wait", "0")
    assert code == 3
    assert re.fullmatch(
        "edge: not renewed yet: certificate 'edge', issuer 'internal': Vault is away; tried again "
        f"in [0-9]+ s; served is still serial {admin.serial('edge')}, ends .*\n",
        out,
    )


def test_a_sidecar_that_was_restarted_meanwhile_says_nothing_of_the_order(
    admin: Admin, renew: Renew
) -> None:
    admin.issuer.same = admin.store.get("edge")
    take_over, asked = admin.successor(), admin.issuer.asked
    admin.issuer.may_answer.clear()

    def restart() -> None:
        wait_until(lambda: admin.issuer.asked > asked)
        take_over()

    restarting = threading.Thread(target=restart)
    restarting.start()
    code, out = renew("edge")
    restarting.join()
    admin.issuer.may_answer.set()
    assert code == 1
    assert "the sidecar was restarted before the order had ended; renew it again" in out


def row(
    serial: str, orders: int, *, asked: bool | None = False, failures: int = 0
) -> dict[str, Any]:
    made = {"serial": serial, "orders": orders, "failures": failures}
    return made if asked is None else {**made, "asked": asked}


ASKED = row("A", 5, asked=True)
OUTCOMES = [
    ("another has come", ASKED, row("B", 6), "renewed"),
    ("the first has come", row("", 0, asked=True), row("B", 1), "renewed"),
    ("it is open", ASKED, row("A", 5, asked=True), ""),
    ("it is open, and nobody answers", ASKED, row("A", 9, asked=True, failures=4), ""),
    ("the same has come", ASKED, row("A", 6), "unchanged"),
    ("it was refused", ASKED, row("A", 6, failures=1), "failed"),
    ("it has joined one under way", row("A", 5), row("A", 5), ""),
    ("what it has joined failed", row("A", 5), row("A", 6, failures=1), "failed"),
    ("restarted, and the count is lower", ASKED, row("A", 1), "failed"),
    ("restarted, and the count is the same", row("A", 1, asked=True), row("A", 1), "failed"),
    ("restarted, and nothing is there yet", ASKED, row("", 0), "failed"),
    ("restarted, and another was found", ASKED, row("B", 1), "renewed"),
    ("an older sidecar, under way", row("A", 5, asked=None), row("A", 5, asked=None), ""),
    ("an older sidecar", row("A", 5, asked=None), row("A", 6, asked=None), "unchanged"),
]


@pytest.mark.parametrize(
    ("before", "after", "outcome"), [o[1:] for o in OUTCOMES], ids=[o[0] for o in OUTCOMES]
)
def test_the_outcome(before: dict[str, Any], after: dict[str, Any], outcome: str) -> None:
    assert outcome_of(before, after) == outcome


def test_what_failed_and_what_is_unknown_spoil_no_other(admin: Admin, renew: Renew) -> None:
    before = admin.serial("edge")
    admin.issuer.failing = True
    code, out = renew("edge", "nobody")
    assert code == 1
    edge, nobody = out.splitlines()
    assert edge.startswith(
        "edge: not renewed: certificate 'edge', issuer 'internal': Vault is away; tried again in "
        f"10 s; served is still serial {before}, ends "
    )
    assert nobody.startswith("nobody: not renewed: there is no certificate 'nobody'")


def test_an_issuer_that_gives_the_same_again(admin: Admin, renew: Renew) -> None:
    held = admin.store.get("edge")
    assert held is not None
    admin.issuer.same = held
    code, out = renew("edge")
    assert code == 0
    assert out.startswith(f"edge: the issuer gave what was served already, serial {held.serial}, ")


@pytest.mark.parametrize("text", ["-1", "nan", "3601", "soon"])
def test_a_wait_that_is_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "renew", "edge", f"--wait={text}"]) == 2
    assert "is not from 0 to 3600" in capsys.readouterr().err
