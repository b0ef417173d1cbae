"""What EXPLAIN tells a tenant of others' rows, and that nothing does where none is kept."""

import psycopg
import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.tenancy_world import TENANTS, A, B, TenancyWorld, tenancy_world
from workload.tenancy.migration import tables_of


def estimated(world: TenancyWorld, condition: str) -> int:
    """What EXPLAIN says, of a product that makes fractions of rows visible."""
    query = (
        f"EXPLAIN (FORMAT JSON) SELECT FROM contacts, generate_series(1, 1000) WHERE {condition}"
    )
    with psycopg.connect(world.url) as connection:
        connection.execute(
            "SELECT set_config('app.tenant_id', %s, true), set_config('app.tenant_seal', %s, true)",
            world.binder.settings(A),
        )
        (row,) = connection.execute(query.encode()).fetchall()
    return int(row[0][0]["Plan"]["Plan Rows"])


GUESSES = {
    "a common value": ("name = 'merger'", "name = 'picnic'"),
    "samples of the column": ("name < 'm'", "name < 'n'"),
    "an index on an expression": ("lower(name) = 'merger'", "lower(name) = 'picnic'"),
    "a statistics object": ("upper(name) = 'MERGER'", "upper(name) = 'PICNIC'"),
    "two columns together": (
        f"tenant_id = '{B}' AND name = 'merger'",
        f"tenant_id = '{B}' AND name = 'picnic'",
    ),
    "a tenant's share": (f"tenant_id = '{B}'", f"tenant_id = '{TENANTS[2]}'"),
}
"""Conditions that a tenant compares by what EXPLAIN says: one is of others' rows, one of none."""


@pytest.fixture(scope="module")
def explained(postgres: PostgresServer) -> TenancyWorld:
    """A world with statistics of one tenant's many rows, of every kind that there is."""
    world = tenancy_world(postgres)
    world.as_superuser(
        "CREATE INDEX by_lower ON contacts (lower(name))",
        "CREATE STATISTICS of_upper ON upper(name) FROM contacts",
        "CREATE STATISTICS of_both (mcv) ON tenant_id, name FROM contacts",
        "INSERT INTO contacts (tenant_id, name) "
        f"SELECT '{B}', CASE WHEN i % 3 = 0 THEN 'merger' ELSE 'mz' || i END "
        "FROM generate_series(1, 300) i",
        f"ALTER TABLE contacts OWNER TO {world.owner}",
        f"ALTER STATISTICS of_upper OWNER TO {world.owner}",
        f"ALTER STATISTICS of_both OWNER TO {world.owner}",
        "ANALYZE contacts",
    )
    return world


def test_explain_compares_with_statistics_until_none_are_kept(explained: TenancyWorld) -> None:
    """What no policy stops, and what ``no_statistics`` does against it."""
    before = {
        name: estimated(explained, one) != estimated(explained, other)
        for name, (one, other) in GUESSES.items()
    }
    assert before == dict.fromkeys(GUESSES, True)
    protection = explained.protection._replace(
        tables=tables_of(["contacts"]), no_statistics=("name", "tenant_id")
    )
    for _ in range(2):
        explained.server.run(explained.database, protection.up(), user=explained.owner)
        explained.as_superuser("ANALYZE contacts")
        after = {
            name: estimated(explained, one) != estimated(explained, other)
            for name, (one, other) in GUESSES.items()
        }
        assert after == dict.fromkeys(GUESSES, False)
    explained.server.run(explained.database, protection.down(), user=explained.owner)
    explained.server.run(explained.database, explained.protection.up(), user=explained.owner)
    explained.as_superuser("ANALYZE contacts")
    assert estimated(explained, "name = 'merger'") > estimated(explained, "name = 'picnic'")


def test_columns_keep_their_type_and_collation_and_all_partitions_keep_none(
    postgres: PostgresServer,
) -> None:
    world = tenancy_world(postgres)
    world.as_superuser(
        "ALTER TABLE contacts ADD code varchar(7) COLLATE \"C\" DEFAULT 'x'",
        "CREATE UNIQUE INDEX ON contacts (code, id)",
    )
    columns = """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
        attcollation::regcollation::text, coalesce(attstattarget, -1) FROM pg_attribute
        WHERE attrelid::regclass::text ~ '^(contacts|notes|notes_0|notes_1)$'
          AND attname IN ('code', 'note') ORDER BY 1, 2"""
    with postgres.connect(world.database) as connection:
        before = connection.execute(columns).fetchall()
        up = world.protection._replace(no_statistics=("code", "note")).up()
        postgres.run(world.database, up, user=world.owner)
        after = connection.execute(columns).fetchall()
    assert [(*row[:4], 0) for row in before] == after
    assert [row[4] for row in before] == [-1] * 4


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (("note", "nam"), "no column nam is in any of the tables"),
        (("tenant_id",), "part of the partition key of relation"),
        (("name", "id"), "used by a view or rule"),
    ],
)
def test_what_can_not_be_forgotten_changes_nothing(
    postgres: PostgresServer, columns: tuple[str, ...], said: str
) -> None:
    world = tenancy_world(postgres)
    world.as_superuser("CREATE VIEW shown AS SELECT name FROM contacts")
    with pytest.raises(psycopg.Error, match=said):
        postgres.run(
            world.database, world.protection._replace(no_statistics=columns).up(), user=world.owner
        )
    with postgres.connect(world.database) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'contacts'::regclass "
            "AND attnum > 0 AND attstattarget = 0"
        ).fetchone()
        policies = connection.execute("SELECT count(*) FROM pg_policies").fetchone()
    assert (kept, policies) == ((0,), (4,))
