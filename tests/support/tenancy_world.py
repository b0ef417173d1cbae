"""A database of tenants: tables, the migration of ``septem tenancy sql``, rows of two and ten."""

from typing import NamedTuple
from uuid import UUID

from tests.support.postgres_server import PostgresServer
from workload.tenancy.context import TenantContext
from workload.tenancy.migration import Protection, tables_of
from workload.tenancy.postgres.binding import TenantBinder
from workload.tenancy.seal import SealKey, new_key

TENANTS = tuple(str(UUID(int=0xA0000000 + number)) for number in range(10))
A, B = TENANTS[0], TENANTS[1]
TABLES = (
    "CREATE TABLE contacts (id bigserial PRIMARY KEY, tenant_id uuid NOT NULL, name text NOT NULL)",
    """CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, tenant_id uuid, note text,
       PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id)""",
    "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE notes_1 PARTITION OF notes FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
)


class TenancyWorld(NamedTuple):
    """A database whose tables ``contacts`` and ``notes`` are protected, with a row a tenant."""

    server: PostgresServer
    database: str
    owner: str
    role: str
    key: SealKey
    binder: TenantBinder

    @property
    def url(self) -> str:
        return self.server.url(self.role, self.database)

    @property
    def protection(self) -> Protection:
        return Protection(tables_of(["contacts", "notes"]), self.role)

    def store(self, key: SealKey) -> None:
        with self.server.connect(self.database, self.owner) as connection:
            connection.execute(
                "INSERT INTO septem_tenancy.seal_keys VALUES (%s, %s, %s)", (key.kid, *key.pads())
            )

    def as_superuser(self, *statements: str) -> None:
        self.server.run(self.database, *statements)


def tenancy_world(server: PostgresServer, *, sealed: bool = True) -> TenancyWorld:
    number = server.next_number()
    owner, role = f"owner{number}", f"app{number}"
    server.run("postgres", f"CREATE ROLE {owner} LOGIN CREATEROLE")
    database = server.new_database(*TABLES, owner=owner)
    key = new_key()
    binder = TenantBinder.sealed(key) if sealed else TenantBinder.unsealed()
    world = TenancyWorld(server, database, owner, role, key, binder)
    up = world.protection._replace(sealed=sealed).up()
    server.run(database, up, user=owner)
    server.run("postgres", f"ALTER ROLE {owner} NOCREATEROLE")
    world.store(key)
    for tenant_id in TENANTS:
        world.as_superuser(
            f"INSERT INTO contacts (tenant_id, name) VALUES ('{tenant_id}', 'of {tenant_id}')",
            f"INSERT INTO notes (tenant_id, note) VALUES ('{tenant_id}', 'of {tenant_id}')",
        )
    return world


def context_of(tenant_id: str) -> TenantContext:
    return TenantContext(tenant_id)
