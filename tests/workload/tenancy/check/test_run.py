"""A protected database has no hole; each hole that is made in it is found, by its name."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.tenancy_world import TenancyWorld, tenancy_world
from workload.tenancy.check.run import CheckFault, ask_rules, check_database

HOLES: list[tuple[str, str, str]] = [
    ("rls_disabled", "contacts", "ALTER TABLE contacts DISABLE ROW LEVEL SECURITY"),
    ("rls_disabled", "notes_1", "ALTER TABLE notes_1 DISABLE ROW LEVEL SECURITY"),
    ("rls_disabled", "kept", "CREATE TABLE kept () INHERITS (contacts)"),
    (
        "rls_disabled",
        "notes_2",
        ("CREATE TABLE more (tenant_id uuid NOT NULL) PARTITION BY HASH (tenant_id);"
        "CREATE TABLE notes_2 PARTITION OF more FOR VALUES WITH (MODULUS 1, REMAINDER 0)"),
    ),
    ("rls_not_forced", "contacts", "ALTER TABLE contacts NO FORCE ROW LEVEL SECURITY"),
    ("tenant_nullable", "contacts", "ALTER TABLE contacts ALTER tenant_id DROP NOT NULL"),
    ("policy_widens", "open", "CREATE POLICY open ON contacts USING (true)"),
    ("policy_widens", "own", "CREATE POLICY own ON contacts FOR SELECT USING (name = 'x')"),
    (
        "policy_widens",
        "either",
        ("CREATE POLICY either ON contacts FOR SELECT TO {role} USING "
        "(tenant_id = (SELECT septem_tenancy.tenant_id()) OR name = 'x')"),
    ),
    (
        "policy_widens",
        "coalesced",
        ("CREATE POLICY coalesced ON contacts USING "
        "(tenant_id = coalesce(septem_tenancy.tenant_id(), tenant_id))"),
    ),
    (
        "policy_check_widens",
        "septem_tenant",
        "ALTER POLICY septem_tenant ON contacts WITH CHECK (true)",
    ),
    (
        "tenant_can_be_forged",
        "septem_tenant",
        ("ALTER POLICY septem_tenant ON contacts USING "
        "(tenant_id = current_setting('app.tenant_id', true)::uuid)"),
    ),
    ("no_row_level_security", "copy", "CREATE MATERIALIZED VIEW copy AS TABLE contacts; {grant}"),
    (
        "materialized_view",
        "copy",
        "CREATE MATERIALIZED VIEW copy AS SELECT name FROM contacts; {grant}",
    ),
    (
        "view_as_its_owner",
        "outer_view",
        ("CREATE VIEW inner_view WITH (security_invoker = on) AS TABLE contacts; "
        "CREATE VIEW outer_view AS TABLE inner_view"),
    ),
    ("tenant_column_of_another_name", "bills", 'CREATE TABLE bills ("tenantId" uuid)'),
    ("tenant_column_of_another_name", "bills", "CREATE TABLE bills (org_id uuid)"),
    (
        "rows_of_tenants_without_column",
        "calls",
        "CREATE TABLE calls (contact bigint REFERENCES contacts)",
    ),
    ("unique_without_tenant", "contacts_name_key", "ALTER TABLE contacts ADD UNIQUE (name)"),
    (
        "unique_without_tenant",
        "included",
        "CREATE UNIQUE INDEX included ON contacts (name) INCLUDE (tenant_id)",
    ),
    ("unique_without_tenant", "lowered", "CREATE UNIQUE INDEX lowered ON contacts (lower(name))"),
    (
        "exclusion_without_tenant",
        "no_two",
        "ALTER TABLE contacts ADD CONSTRAINT no_two EXCLUDE (name WITH =)",
    ),
    (
        "foreign_key_across_tenants",
        "calls_contact_fkey",
        "CREATE TABLE calls (tenant_id uuid NOT NULL, contact bigint REFERENCES contacts)",
    ),
    ("truncate_and_the_like", "contacts", "GRANT TRUNCATE ON contacts TO {role}"),
    ("truncate_and_the_like", "contacts", "GRANT TRIGGER ON contacts TO PUBLIC"),
    ("truncate_and_the_like", "contacts", "GRANT REFERENCES ON contacts TO {role}"),
    ("sequence_tells", "contacts_id_seq", "GRANT SELECT ON SEQUENCE contacts_id_seq TO {role}"),
    ("trigger", "copies", """{definer} RETURNS trigger {body};
     CREATE TRIGGER copies AFTER INSERT ON contacts EXECUTE FUNCTION f()"""),
    ("role_above_policies", "app", "ALTER ROLE {role} SUPERUSER"),
    ("role_above_policies", "app", "ALTER ROLE {role} BYPASSRLS"),
    ("role_above_policies", "app", "ALTER ROLE {role} CREATEROLE"),
    ("role_above_policies", "app", "ALTER ROLE {role} REPLICATION"),
    ("role_member_of_stronger", "app", """CREATE ROLE strong BYPASSRLS;
     CREATE ROLE link NOINHERIT IN ROLE strong; GRANT link TO {role}"""),
    ("role_member_of_stronger", "app", "ALTER TABLE contacts OWNER TO {role}"),
    ("role_reaches_the_server", "app", "GRANT pg_read_server_files TO {role}"),
    ("role_reaches_the_server", "app", "GRANT pg_monitor TO {role}"),
    ("server_files", "pg_read_file", "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {role}"),
    ("may_create", "app", "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC"),
    ("may_create", "app", "GRANT CREATE ON DATABASE {database} TO {role}"),
    ("may_create", "app", "GRANT CREATE ON SCHEMA public TO {role}"),
    ("default_privileges", "postgres", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}"),
    ("setting_stays", "app", "ALTER ROLE {role} SET app.tenant_id = 'x'"),
    ("setting_stays", "d", "ALTER DATABASE {database} SET session_replication_role = replica"),
    ("view_as_its_owner", "shown", "CREATE VIEW shown AS TABLE contacts; {grant_view}"),
    ("function_as_its_owner", "f()", "{definer} RETURNS int {body}"),
    (
        "leakproof_function",
        "quiet",
        "CREATE FUNCTION quiet(text) RETURNS bool LANGUAGE sql LEAKPROOF AS 'SELECT true'",
    ),
    ("extension", "dblink", "CREATE EXTENSION dblink"),
    (
        "foreign_server",
        "away",
        ("CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw; "
        "GRANT USAGE ON FOREIGN SERVER away TO {role}"),
    ),
    ("seal_keys_open", "app", "GRANT SELECT (inner_pad) ON septem_tenancy.seal_keys TO {role}"),
    ("seal_keys_open", "app", "GRANT INSERT ON septem_tenancy.seal_keys TO {role}"),
]  # fmt: skip
NOTES: list[tuple[str, str, str]] = [
    ("policy_missing", "contacts", "DROP POLICY septem_tenant ON contacts"),
    (
        "policy_without_check",
        "septem_tenant",
        ("DROP POLICY septem_tenant ON contacts; CREATE POLICY septem_tenant ON contacts USING "
        "(tenant_id = septem_tenancy.tenant_id())"),
    ),
    ("policy_widens", "staff", ("CREATE ROLE staff; CREATE POLICY staff ON contacts TO staff "
     "USING (true) WITH CHECK (true)")),
    ("unique_without_tenant", "contacts_pkey", ""),
    ("planner_statistics", "contacts", ""),
    ("publication", "p", "CREATE PUBLICATION p FOR TABLE contacts"),
    ("rewrite_rule", "r", "CREATE RULE r AS ON DELETE TO contacts DO ALSO SELECT 1"),
    ("others_above_policies", "owner", ""),
    ("others_above_policies", "postgres", ""),
    ("statements_of_others", "app", ""),
    ("large_objects", "app", ("SELECT lo_create(0); UPDATE pg_largeobject_metadata SET lomowner = "
     "(SELECT oid FROM pg_roles WHERE rolname = '{role}')")),
    ("extension", "pageinspect", "CREATE EXTENSION pageinspect"),
    ("view_as_its_owner", "held", ("CREATE VIEW held AS TABLE contacts; ALTER VIEW held OWNER TO "
     "{owner}")),
    ("materialized_view", "copy", "CREATE MATERIALIZED VIEW copy AS SELECT name FROM contacts"),
]  # fmt: skip


@pytest.fixture(scope="module")
def checked(postgres: PostgresServer) -> TenancyWorld:
    """Of this module alone: what it does is rolled back, but locks whoever looks meanwhile."""
    return tenancy_world(postgres)


@pytest.fixture
def transaction(checked: TenancyWorld) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(checked.server.url("postgres", checked.database)) as connection:
        yield connection
        connection.rollback()


def filled(world: TenancyWorld, statement: str) -> bytes:
    return statement.format(
        role=world.role, owner=world.owner, database=world.database,
        grant=f"GRANT SELECT ON copy TO {world.role}",
        grant_view=f"GRANT SELECT ON shown TO {world.role}",
        definer="CREATE FUNCTION f()",
        body="LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN NULL; END $$",
    ).encode()  # fmt: skip


def found(world: TenancyWorld, transaction: psycopg.Connection[Any]) -> set[tuple[str, str, str]]:
    findings = ask_rules(transaction, "tenant_id", [world.role], unsealed=False)
    assert all(each.mend and each.detail for each in findings)
    return {(each.rule, each.severity, each.name) for each in findings}


@pytest.fixture(scope="module")
def clean(checked: TenancyWorld) -> set[tuple[str, str, str]]:
    """What is found before anything is done."""
    with psycopg.connect(checked.server.url("postgres", checked.database)) as connection:
        return found(checked, connection)


def test_a_protected_database_has_no_hole(clean: set[tuple[str, str, str]]) -> None:
    assert {each for each in clean if each[1] == "hole"} == set()


@pytest.mark.parametrize(
    "row",
    [*(("hole", *each) for each in HOLES), *(("note", *each) for each in NOTES)],
)
def test_what_is_wrong_is_found(
    checked: TenancyWorld,
    transaction: psycopg.Connection[Any],
    clean: set[tuple[str, str, str]],
    row: tuple[str, str, str, str],
) -> None:
    severity, rule, name, statement = row
    transaction.execute(filled(checked, statement))
    new = found(checked, transaction) - (clean if statement else set())
    assert any(each[:2] == (rule, severity) and name in each[2] for each in new), new


def test_columns_without_statistics_tell_nothing(
    checked: TenancyWorld, transaction: psycopg.Connection[Any]
) -> None:
    def kept(*no_statistics: str) -> list[tuple[str, str]]:
        found = ask_rules(
            transaction, "tenant_id", [checked.role], unsealed=False, no_statistics=no_statistics
        )
        named = ("planner_statistics", "public.contacts")
        rows = [each for each in found if (each.rule, each.name) == named]
        return [(each.severity, each.detail.partition("values in ")[2]) for each in rows]

    transaction.execute("CREATE INDEX ON public.contacts (lower(name))")
    transaction.execute("CREATE STATISTICS of_name ON upper(name) FROM public.contacts")
    every = "id, tenant_id, name, lower(name), the statistics of_name"
    assert kept() == [("note", every)]
    assert kept("note") == [("note", every)], "a column of another table"
    assert kept("name") == [("hole", every)]
    up = checked.protection._replace(no_statistics=("name",)).up()
    transaction.execute(up.replace("BEGIN;\n", "", 1).rpartition("COMMIT;")[0].encode())
    transaction.execute("SET LOCAL search_path = pg_catalog")
    assert kept("name") == [("note", "id, tenant_id")]
    assert kept("name", "id") == [("hole", "id, tenant_id")]
    with pytest.raises(CheckFault, match="has a column 'nam'"):
        kept("nam")


def test_ten_holes_at_once_and_the_roles_that_are_found(
    checked: TenancyWorld, transaction: psycopg.Connection[Any]
) -> None:
    chosen = [HOLES[at] for at in (0, 5, 6, 12, 14, 17, 21, 25, 36, 42)]
    for _, _, statement in chosen:
        transaction.execute(b"SET LOCAL search_path = public;" + filled(checked, statement))
    findings = ask_rules(transaction, "tenant_id", (), unsealed=False)
    assert {rule for rule, _, _ in chosen} <= {each.rule for each in findings}
    assert [each.severity for each in findings] == sorted(each.severity for each in findings)


def test_it_reads_alone_and_says_what_it_can_not_check(checked: TenancyWorld) -> None:
    with checked.server.connect(checked.database, checked.owner) as connection:
        assert not [each for each in check_database(connection) if each.severity == "hole"]
        for arguments, said in (
            (("tenant_id", ["nobody_of_the_name"]), "no role"),
            (("no_such_column", [checked.role]), "no table has a column"),
            (("no_such_column", []), "no table has a column"),
        ):
            with pytest.raises(CheckFault, match=said):
                check_database(connection, *arguments)


def test_an_application_that_is_the_owner_is_found(
    checked: TenancyWorld, transaction: psycopg.Connection[Any]
) -> None:
    transaction.execute(filled(checked, "REVOKE ALL ON contacts, notes FROM {role}"))
    findings = ask_rules(transaction, "tenant_id", (), unsealed=False)
    assert ("role_member_of_stronger", checked.owner) in {(it.rule, it.name) for it in findings}
    transaction.execute(filled(checked, "ALTER ROLE {owner} NOLOGIN"))
    with pytest.raises(CheckFault, match="--role"):
        ask_rules(transaction, "tenant_id", (), unsealed=False)


def test_an_unsealed_database_is_a_choice_that_is_said(postgres: PostgresServer) -> None:
    world = tenancy_world(postgres, sealed=False)
    with world.server.connect(world.database) as connection:
        as_hole = {(each.rule, each.severity) for each in check_database(connection)}
        as_note = {(each.rule, each.severity) for each in check_database(connection, unsealed=True)}
    assert ("tenant_can_be_forged", "hole") in as_hole
    assert ("tenant_can_be_forged", "note") in as_note
    assert not [each for each in as_note if each[1] == "hole"]
