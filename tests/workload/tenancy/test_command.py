"""``septem tenancy``: each subcommand against the real database, and what it says otherwise."""

import json
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.tenancy_world import A, TenancyWorld, context_of, tenancy_world
from workload.cli import main
from workload.tenancy.context import tenant
from workload.tenancy.postgres.binding import TenantBinder
from workload.tenancy.postgres.psycopg3 import tenant_connection
from workload.tenancy.seal import read_key


def test_the_migration_is_printed(capsys: pytest.CaptureFixture[str], world: TenancyWorld) -> None:
    assert main(["tenancy", "sql", "contacts", "notes", "--role", world.role]) == 0
    assert capsys.readouterr().out == world.protection.up()
    assert main(["tenancy", "sql", "contacts", "notes", "--role", world.role, "--down"]) == 0
    assert capsys.readouterr().out == world.protection.down()
    unsealed = ["--column", "org", "--type", "text", "--unsealed"]
    assert main(["tenancy", "sql", "public.contacts", "--role", "r", *unsealed]) == 0
    printed = capsys.readouterr().out
    assert "tenant_seal" not in printed
    assert "RETURNS text" in printed


def test_a_key_is_made_stored_rotated_and_retired(
    postgres: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tenancy_world(postgres)
    url = postgres.url(world.owner, world.database)
    first, second = tmp_path / "first", tmp_path / "second"

    def rows(path: Path) -> int:
        kind = tenant_connection(TenantBinder.sealed(path))
        with kind.connect(world.url) as connection, tenant(context_of(A)):
            return len(connection.execute("SELECT * FROM contacts").fetchall())

    for path in (first, first, second):
        assert main(["tenancy", "seal", url, "--key-file", str(path)]) == 0
        assert rows(path) == 1
    assert rows(first) == 1
    kid = read_key(first).kid
    retire = ["tenancy", "seal", url, "--retire", kid, "--key-file"]
    assert main([*retire, str(first)]) == 2
    assert main([*retire, str(second)]) == 0
    assert (rows(first), rows(second)) == (0, 1)
    said = "".join(capsys.readouterr())
    assert read_key(first).key.hex() not in said
    assert kid in said


def test_the_check_exits_by_what_it_finds(
    postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tenancy_world(postgres)
    check = ["tenancy", "check", postgres.url(world.owner, world.database)]
    assert main(check) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 holes")
    world.as_superuser("ALTER TABLE contacts NO FORCE ROW LEVEL SECURITY")
    assert main([*check, "--role", world.role, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["rule"] for each in found["findings"] if each["severity"] == "hole"] == [
        "rls_not_forced"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sql", "a.b.c", "--role", "r"], "is no table"),
        (["check", "postgresql://u:secret@h/d"], "PGPASSFILE"),
        (["check", "postgresql://u@h/d?password=secret"], "PGPASSFILE"),
        (["check", "host=h password=secret"], "postgresql://"),
        (["check", "postgresql://[/d"], "no URL"),
        (["check", "postgresql://u@/d?host=/nowhere"], "no connection"),
        (["seal", "{owner}", "--key-file", "/nowhere/key"], "can't be written"),
        (["seal", "{owner}", "--key-file", "/dev/null"], "holds no key"),
        (["seal", "{role}", "--key-file", "{tmp}/key"], "could not be stored"),
        (["check", "{owner}", "--role", "nobody_here"], "no role"),
        (["check", "{owner}", "--column", "none", "--role", "{name}"], "--column"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(
    world: TenancyWorld,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    filled = {
        "owner": world.server.url(world.owner, world.database),
        "role": world.url,
        "name": world.role,
        "tmp": tmp_path,
    }
    assert main(["tenancy", *(each.format(**filled) for each in arguments)]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert "secret" not in told.err
    assert told.out == ""
