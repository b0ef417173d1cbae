"""A real OpenBao whose database engine makes users in a real PostgreSQL."""

from typing import NamedTuple

import pytest

from demo.openbao import OpenBao
from tests.support.postgres_server import PostgresServer
from tests.support.real import NAMESPACE, TokenFile
from workload.settings import TokenFileLogin, VaultServer

POLICY = """\
path "secret/data/shop/*"          { capabilities = ["read"] }
path "database/creds/shop"         { capabilities = ["read"] }
path "database/static-creds/batch" { capabilities = ["read"] }
path "sys/leases/renew"            { capabilities = ["update"] }
path "sys/leases/revoke"           { capabilities = ["update"] }
"""
_MAKE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; "
    'GRANT SELECT ON orders TO "{{name}}";'
)
_DROP = 'DROP OWNED BY "{{name}}"; DROP ROLE IF EXISTS "{{name}}";'


class DatabaseWorld(NamedTuple):
    """Where secrets come from, and where its users are."""

    openbao: OpenBao
    server: VaultServer
    postgres: PostgresServer
    database: str

    def users(self) -> set[str]:
        """The users that Vault made and has not dropped."""
        query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'"
        with self.postgres.connect(self.database) as connection:
            return {row[0] for row in connection.execute(query)}


def set_max_ttl(openbao: OpenBao, max_ttl: str) -> None:
    """Write the role, whose leases are of an hour, and last so long at most."""
    role = {
        "db_name": "shop",
        "creation_statements": _MAKE,
        "revocation_statements": _DROP,
        "default_ttl": "1h",
        "max_ttl": max_ttl,
    }
    openbao.client.write_data("database/roles/shop", data=role)


@pytest.fixture(scope="session")
def databases(openbao: OpenBao, postgres: PostgresServer) -> str:
    """Mount and configure the engine; return the database's name."""
    name = postgres.new_database("CREATE TABLE orders (id int)", "CREATE ROLE batch LOGIN")
    client = openbao.client
    client.sys.enable_secrets_engine("database", path="database")
    client.write_data(
        "database/config/shop",
        data={
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "shop,batch",
            "connection_url": postgres.url("{{username}}", name),
            "username": "postgres",
            "password": "unused",
        },
    )
    set_max_ttl(openbao, "24h")
    client.write_data(
        "database/static-roles/batch",
        data={
            "db_name": "shop",
            "username": "batch",
            "rotation_period": "24h",
            "rotation_statements": "ALTER ROLE \"{{name}}\" PASSWORD '{{password}}'",
        },
    )
    return name


@pytest.fixture
def world(
    openbao: OpenBao, postgres: PostgresServer, databases: str, token_file: TokenFile
) -> DatabaseWorld:
    token_file.write(openbao.token_for(POLICY, name="shop"))
    login = TokenFileLogin(str(token_file.path))
    server = VaultServer(openbao.address, login, namespace=NAMESPACE)
    return DatabaseWorld(openbao, server, postgres, databases)
