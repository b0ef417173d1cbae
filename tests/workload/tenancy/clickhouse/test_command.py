"""``septem tenancy clickhouse``."""

import io
from pathlib import Path

import pytest

from workload.cli import main
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.protection import ClickHouseProtection, tables_of, tenant_user

A = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
B = "0b51a6f1-2d3c-4e4f-8a5b-6c7d8e9f0a1b"


def septem(*words: str) -> int:
    return main(["tenancy", "clickhouse", *words])


def test_the_migration_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    plain = ClickHouseProtection(tables_of(["app.t"]), "orders")
    assert septem("sql", "app.t", "--role", "orders") == 0
    assert capsys.readouterr().out == plain.up()
    assert septem("sql", "app.t", "--role", "orders", "--down") == 0
    assert capsys.readouterr().out == plain.down()
    options = ["--column", "org", "--type", "text", "--shared", "app.k", "--reader", "r"]
    assert septem("sql", "app.t", "--role", "orders", *options, "--no-check") == 0
    assert (
        capsys.readouterr().out
        == ClickHouseProtection(
            tables_of(["app.t"]),
            "orders",
            "org",
            "text",
            tables_of(["app.k"]),
            ("r",),
            checked=False,
        ).up()
    )


def test_users_are_of_a_key_that_is_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    for _ in range(2):
        assert septem("user", A, B, "--role", "orders", "--key-file", str(path)) == 0
        logins = TenantLogins.of_file(path, "orders")
        printed = capsys.readouterr().out
        assert printed == tenant_user(logins, A) + tenant_user(logins, B)
        assert logins.login(A).password not in printed
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_query_is_shown_as_it_would_be_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["guard", "t", "--database", "app", "--shared", "k", "--column", "org"]
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT a FROM t, k"))
    assert septem(*words, "--type", "text") == 0
    assert '"septem_rows"."org" = {septem_tenant: String}' in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT a FROM other"))
    assert septem(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "the table app.other at line 1, column 15" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["sql", "t", "--role", "orders"],
        ["sql", "a.t", "--role", "a b"],
        ["user", "x", "--role", "orders", "--key-file", "{key}"],
        ["user", A, "--role", "orders", "--key-file", "{key}/none/key"],
    ],
)
def test_what_can_not_be_done_says_why(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert septem(*(each.format(key=tmp_path / "key") for each in words)) == 2
    assert capsys.readouterr().err.startswith("septem: ")
