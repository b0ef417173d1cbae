"""What an attacker gets who may write any SQL as the application's role: nothing of another's."""

import re

import psycopg
import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.tenancy_world import TENANTS, A, B, TenancyWorld, tenancy_world
from workload.settings import SettingsFault
from workload.tenancy.migration import Protection, tables_of
from workload.tenancy.names import TableName
from workload.tenancy.seal import WINDOW_SECONDS

ATTACKS = {
    "no WHERE": ["SELECT * FROM contacts"],
    "the other's id": [f"SELECT * FROM contacts WHERE tenant_id = '{B}'"],
    "set_config": [f"SELECT set_config('app.tenant_id', '{B}', true)", "TABLE contacts"],
    "set_config for the session": [
        f"SELECT set_config('app.tenant_id', '{B}', false)",
        "TABLE contacts",
    ],
    "set_config in the same statement": [
        f"SELECT c.* FROM (SELECT set_config('app.tenant_id', '{B}', true) OFFSET 0) s, contacts c"
    ],
    "SET": [f"SET app.tenant_id = '{B}'", "TABLE contacts"],
    "SET LOCAL": [f"SET LOCAL app.tenant_id = '{B}'", "TABLE contacts"],
    "RESET": ["RESET app.tenant_id", "TABLE contacts"],
    "RESET ALL": ["RESET ALL", "TABLE contacts"],
    "DO with a composed text": [
        f"DO $$ BEGIN EXECUTE 'SET LOCAL app.tenant' || '_id = ''{B}'''; END $$",
        "TABLE contacts",
    ],
    "its own default": [
        f"ALTER ROLE CURRENT_USER SET app.tenant_id = '{B}'",
        "TABLE contacts",
    ],
    "a seal of nothing": [
        f"SELECT set_config('app.tenant_id', '{B}', true), set_config('app.tenant_seal', '', true)",
        "TABLE contacts",
    ],
    "a seal of NULL bytes' worth": [
        (
            f"SELECT set_config('app.tenant_id', '{B}', true), set_config('app.tenant_seal', "
            "regexp_replace(current_setting('app.tenant_seal'), '[0-9a-f]{64}$', repeat('0', 64)),"
            " true)"
        ),
        "TABLE contacts",
    ],
    "an unknown key": [
        (
            f"SELECT set_config('app.tenant_id', '{B}', true), set_config('app.tenant_seal', "
            "regexp_replace(current_setting('app.tenant_seal'), '^[a-z0-9]+', 'zz'), true)"
        ),
        "TABLE contacts",
    ],
    "the key": ["SELECT * FROM septem_tenancy.seal_keys"],
    "the function's key": ["SELECT prosrc FROM pg_proc WHERE proname = 'tenant_id'"],
    "another function of that name": [
        (
            "CREATE OR REPLACE FUNCTION septem_tenancy.tenant_id() RETURNS uuid LANGUAGE sql AS "
            f"$$ SELECT '{B}'::uuid $$"
        ),
        "TABLE contacts",
    ],
    "a partition of its own": ["TABLE notes_0"],
    "the other partition": ["TABLE notes_1"],
    "all partitions": ["TABLE notes"],
    "row_security off": ["SET row_security = off", "TABLE contacts"],
    "another role": ["SET ROLE postgres", "TABLE contacts"],
    "session authorization": ["SET SESSION AUTHORIZATION postgres", "TABLE contacts"],
    "no row level security": ["ALTER TABLE contacts DISABLE ROW LEVEL SECURITY", "TABLE contacts"],
    "no policy": ["DROP POLICY septem_tenant ON contacts", "TABLE contacts"],
    "a policy more": ["CREATE POLICY mine ON contacts USING (true)", "TABLE contacts"],
    "a view": ["CREATE VIEW mine AS TABLE contacts", "TABLE mine"],
    "a temporary view": ["CREATE TEMP VIEW mine AS TABLE contacts", "TABLE mine"],
    "a leaky function": [
        (
            "CREATE FUNCTION leak(text) RETURNS bool COST 0.0001 LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        ),
        "SELECT * FROM contacts WHERE leak(name)",
    ],
    "a leaky error": [f"SELECT * FROM contacts WHERE name::int = 0 OR name = 'of {A}'"],
    "COPY": ["COPY contacts TO STDOUT"],
    "COPY to a program": ["COPY contacts TO PROGRAM 'cat'"],
    "a file of the server": ["SELECT pg_read_file('PG_VERSION')"],
    "statistics": ["SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'contacts'"],
    "raw statistics": ["SELECT stavalues1::text FROM pg_statistic"],
    "insert for another": [
        f"INSERT INTO contacts (tenant_id, name) VALUES ('{B}', 'x') RETURNING *"
    ],
    "insert for nobody": ["INSERT INTO contacts (tenant_id, name) VALUES (NULL, 'x') RETURNING *"],
    "update of another": [f"UPDATE contacts SET name = 'x' WHERE tenant_id = '{B}' RETURNING *"],
    "given away": [f"UPDATE contacts SET tenant_id = '{B}' RETURNING *"],
    "delete of another": [f"DELETE FROM contacts WHERE tenant_id = '{B}' RETURNING *"],
    "merge": [
        (
            f"MERGE INTO contacts c USING (SELECT '{B}'::uuid AS t) s ON c.tenant_id = s.t "
            "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN "
            "INSERT (tenant_id, name) VALUES (s.t, 'x')"
        )
    ],
    "on conflict": [
        (
            f"INSERT INTO contacts (id, tenant_id, name) VALUES (2, '{A}', 'x') ON CONFLICT (id) "
            "DO UPDATE SET name = 'x' RETURNING *"
        )
    ],
    "truncate": ["TRUNCATE contacts"],
    "a trigger": [
        (
            "CREATE TRIGGER t BEFORE INSERT ON contacts EXECUTE FUNCTION "
            "suppress_redundant_updates_trigger()"
        )
    ],
    "a rule": ["CREATE RULE r AS ON INSERT TO contacts DO ALSO SELECT 1"],
    "a foreign key": ["CREATE TEMP TABLE t (id bigint REFERENCES contacts)"],
    "a shadow": [
        "CREATE TEMP TABLE contacts (id bigint, tenant_id uuid, name text)",
    ],
    "a schema of its own": ["CREATE SCHEMA mine"],
    "a table in public": ["CREATE TABLE public.mine ()"],
    "a publication": ["CREATE PUBLICATION p FOR TABLE contacts"],
    "an extension": ["CREATE EXTENSION pgcrypto"],
    "a membership": ["GRANT postgres TO CURRENT_USER"],
    "its own BYPASSRLS": ["ALTER ROLE CURRENT_USER BYPASSRLS"],
    "the sequence's value": ["SELECT last_value FROM contacts_id_seq"],
    "a lock's and a cursor's way": [
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM contacts",
        "FETCH ALL FROM c",
    ],
    "after a rollback": [
        "ROLLBACK",
        f"SET app.tenant_id = '{B}'",
        "BEGIN",
        "TABLE contacts",
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_sql_shows_or_changes_what_is_anothers(world: TenancyWorld, attack: str) -> None:
    before = snapshot(world)
    notices: list[str] = []
    seen: list[object] = []
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.add_notice_handler(lambda told: notices.append(str(told.message_primary)))
        connection.execute("BEGIN")
        connection.execute(
            "SELECT set_config('app.tenant_id', %s, true), set_config('app.tenant_seal', %s, true)",
            world.binder.settings(A),
        )
        for statement in ATTACKS[attack]:
            try:
                if statement.startswith("COPY"):
                    with connection.cursor().copy(statement.encode()) as copy:
                        seen += [bytes(each).decode() for each in copy]
                    continue
                done = connection.execute(statement.encode())
                if done.description and "set_config" not in statement:
                    seen += done.fetchall()
            except psycopg.Error as refused:
                notices.append(str(refused))
                connection.execute("ROLLBACK")
                break
        else:
            connection.execute("COMMIT")
    world.server.run("postgres", f"ALTER ROLE {world.role} RESET ALL")
    told = " ".join(map(str, [*seen, *notices]))
    others = [each for each in TENANTS[1:] if f"of {each}" in told]
    assert not others, told
    assert world.key.key.hex() not in told
    assert "x36" not in told
    assert snapshot(world) == before


def test_the_role_can_make_nothing_that_stands_before_a_table(world: TenancyWorld) -> None:
    with psycopg.connect(world.url) as connection:
        asked = (
            "SELECT has_database_privilege(current_database(), 'TEMPORARY'), "
            "has_database_privilege(current_database(), 'CREATE'), "
            "has_schema_privilege('public', 'CREATE')"
        )
        assert connection.execute(asked).fetchall() == [(False, False, False)]


def snapshot(world: TenancyWorld) -> list[tuple[object, ...]]:
    """The rows of the others, and what protects them."""
    with world.server.connect(world.database) as connection:
        return connection.execute(
            "SELECT tenant_id::text, name FROM contacts WHERE tenant_id <> %s "
            "UNION ALL SELECT relname, relrowsecurity::text || relforcerowsecurity::text "
            "FROM pg_class WHERE relname ~ '^(contacts|notes)' AND relkind IN ('r', 'p') "
            "UNION ALL SELECT tablename, qual || with_check FROM pg_policies "
            "UNION ALL SELECT rolname, rolbypassrls::text FROM pg_roles WHERE rolname = %s "
            "ORDER BY 1, 2",
            (A, world.role),
        ).fetchall()


def seen_with(world: TenancyWorld, tenant_id: str, seal: str) -> int:
    with psycopg.connect(world.url) as connection:
        connection.execute(
            "SELECT set_config('app.tenant_id', %s, true), set_config('app.tenant_seal', %s, true)",
            (tenant_id, seal),
        )
        row = connection.execute("SELECT count(*) FROM contacts").fetchone()
        assert row is not None
        return int(row[0])


def test_a_seal_holds_for_its_tenant_and_its_time(world: TenancyWorld) -> None:
    with world.server.connect() as connection:
        row = connection.execute("SELECT extract(epoch FROM now())::float").fetchone()
        assert row is not None
        now = row[0]
    key = world.key
    assert seen_with(world, A, key.seal(A, now)) == 1
    assert seen_with(world, A, key.seal(A, now - WINDOW_SECONDS + 60)) == 1
    assert seen_with(world, A, key.seal(A, now + WINDOW_SECONDS - 60)) == 1
    assert seen_with(world, A, key.seal(A, now - WINDOW_SECONDS - 5)) == 0
    assert seen_with(world, A, key.seal(A, now + WINDOW_SECONDS + 60)) == 0
    assert seen_with(world, A, key.seal(B, now)) == 0
    assert seen_with(world, A, key._replace(key=bytes(32)).seal(A, now)) == 0


@pytest.mark.parametrize(
    ("tenant_id", "seal"),
    [
        ("", ""),
        ("x", "x"),
        (A, ""),
        (A, "a.1.b"),
        (A.upper(), "-"),
        (A + "\n", "'"),
        ("' OR 1", "%"),
    ],
)
def test_what_is_no_tenant_or_seal_is_no_error_and_no_row(
    world: TenancyWorld, tenant_id: str, seal: str
) -> None:
    assert seen_with(world, tenant_id, seal) == 0
    assert seen_with(world, tenant_id, world.key.seal(tenant_id, 0)) == 0


def test_again_changes_nothing_and_down_undoes_it(postgres: PostgresServer) -> None:
    world = tenancy_world(postgres)
    before = snapshot(world)
    world.server.run(world.database, world.protection.up(), user=world.owner)
    assert snapshot(world) == before
    with world.server.connect(world.database) as connection:
        indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'contacts'"
        assert connection.execute(indexes).fetchone() == (2,)
        world.server.run(world.database, world.protection.down(), user=world.owner)
        world.server.run(world.database, world.protection.down(), user=world.owner)
        gone = (
            "SELECT count(*) FROM pg_policies UNION ALL SELECT count(*) FROM pg_class "
            "WHERE relrowsecurity OR relforcerowsecurity"
        )
        assert connection.execute(gone).fetchall() == [(0,), (0,)]
        left = "SELECT count(*) FROM pg_proc WHERE proname = 'tenant_id'"
        assert connection.execute(left).fetchone() == (0,)


def test_odd_identifiers_are_quoted(postgres: PostgresServer) -> None:
    schema, table, column, role = "a.b", "O'Br\"ien $septem$ %I \\", "Tenant %s {x} '", 'r"; DROP'
    quoted = TableName(schema, table)
    postgres.run("postgres", "CREATE ROLE odd LOGIN CREATEROLE")
    column_name = '"' + column + '"'
    database = postgres.new_database(
        f'CREATE SCHEMA "{schema}"', f"CREATE TABLE {quoted} ({column_name} text)", owner="odd"
    )
    protection = Protection((quoted,), role, column, "text", sealed=False)
    for migration in (protection.up(), protection.up(), protection.down(), protection.up()):
        postgres.run(database, migration, user="odd")
    with postgres.connect(database) as connection:
        connection.execute(f"INSERT INTO {quoted} VALUES ('a'), ('b')".encode())
    role_url = psycopg.conninfo.make_conninfo(postgres.url("x", database), user=role)
    with psycopg.connect(role_url) as connection:
        connection.execute("SET LOCAL app.tenant_id = 'a'")
        assert connection.execute(f"TABLE {quoted}".encode()).fetchall() == [("a",)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER ROLE {role} BYPASSRLS", "BYPASSRLS"),
        ("ALTER ROLE {role} CREATEROLE", "CREATEROLE"),
        ("ALTER TABLE contacts OWNER TO {role}", "member of its owner"),
    ],
)
def test_a_role_that_could_step_round_is_refused(
    postgres: PostgresServer, statement: str, said: str
) -> None:
    world = tenancy_world(postgres)
    world.as_superuser(statement.format(role=world.role, owner=world.owner))
    with pytest.raises(psycopg.errors.RaiseException, match=re.escape(said)):
        world.as_superuser(world.protection.up())


@pytest.mark.parametrize(
    "protection",
    [
        Protection((), "app"),
        Protection(tables_of(["t"]), ""),
        Protection(tables_of(["t"]), "a" * 64),
        Protection(tables_of(["t"]), "app", "c\0"),
        Protection(tables_of(["t"]), "app", no_statistics=("c\0",)),
        Protection(tables_of(["t"]), "app", type="int"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_be_meant_is_refused(protection: Protection) -> None:
    for write in (protection.up, protection.down):
        with pytest.raises(SettingsFault):
            write()
