"""Installs the example as its README.md says: roles, databases, policies, keys, settings."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import make_url

from demo.openbao import OpenBao
from demo.postgresql import PostgresServer
from demo.process import ManagedProcess
from demo.tenants.facts import EMAILS, PASSWORDS
from workload.passwords import Passwords
from workload.tenancy.migration import Protection, tables_of
from workload.tenancy.seal import new_key, write_key

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/tenants"
POLICY = """\
# What the example may do in Vault: make and unwrap data keys.
path "transit/datakey/plaintext/fields" { capabilities = ["update"] }
path "transit/decrypt/fields"           { capabilities = ["update"] }
"""


class Ground(NamedTuple):
    """Where the example is installed: a folder for its secrets, its socket, its servers."""

    folder: Path
    socket: Path
    openbao: OpenBao
    postgres: PostgresServer


def install(ground: Ground) -> Path:
    """Make everything, with an account for each tenant; return the settings' file."""
    server = ground.postgres
    run_file(server, "roles.sql", "postgres", "postgres")
    run_file(server, "orders.sql", "orders", "orders_owner")
    run_file(server, "accounts.sql", "accounts", "orders_owner")
    protection = Protection(tables_of(["orders"]), "orders_app")
    server.run("orders", protection.up(), user="orders_owner")
    seal, seal_file = new_key(), ground.folder / "tenant-key"
    write_key(seal_file, seal)
    with server.connect("orders", "orders_owner") as connection:
        values = (seal.kid, *seal.pads())
        connection.execute("INSERT INTO septem_tenancy.seal_keys VALUES (%s, %s, %s)", values)
    add_accounts(server, "accounts")
    token_file = ground.folder / "orders-vault-token"
    token_file.touch(mode=0o600)
    token_file.write_text(_vault_token(ground.openbao))
    settings = {
        "socket": str(ground.socket),
        "orders_url": sqlalchemy_url(server, "orders_app", "orders"),
        "seal_key_file": str(seal_file),
        "accounts_url": sqlalchemy_url(server, "orders_accounts", "accounts"),
        "vault_address": ground.openbao.address,
        "vault_token_file": str(token_file),
        "kek": "fields",
    }
    path = ground.folder / "orders.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return path


def start_example(settings: Path) -> ManagedProcess:
    """Start the example."""
    command = [sys.executable, "-m", "examples.tenants", str(settings)]
    return ManagedProcess("the application", command, folder=ROOT)


def start_control(server: PostgresServer, port: int) -> ManagedProcess:
    """Start the same application without the protection, in a database of its own."""
    server.create_database("control")
    for name in ("orders.sql", "accounts.sql"):
        run_file(server, name, "control", "postgres")
    careless = (
        "DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (number), ALTER item SET STATISTICS 100"
    )
    server.run("control", f"ALTER TABLE orders {careless}")
    add_accounts(server, "control")
    url = sqlalchemy_url(server, "postgres", "control")
    command = [sys.executable, "-m", "demo.tenants.control", str(port), url]
    return ManagedProcess("the control", command, folder=ROOT)


def run_file(server: PostgresServer, name: str, database: str, user: str) -> None:
    """Run a file's statements one by one: CREATE DATABASE wants to be alone."""
    lines = (EXAMPLE / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.partition("--")[0] for line in lines)
    statements = [each.strip() for each in text.split(";")]
    server.run(database, *filter(None, statements), user=user)


def add_accounts(server: PostgresServer, database: str) -> None:
    """Add an account for each tenant."""
    passwords = Passwords()
    with server.connect(database) as connection:
        for tenant, email in EMAILS.items():
            hashed = passwords.hash_sync(PASSWORDS[tenant])
            connection.execute("INSERT INTO accounts VALUES (%s, %s, %s)", (email, tenant, hashed))


def sqlalchemy_url(server: PostgresServer, user: str, database: str) -> str:
    """Return the address of a database, as SQLAlchemy reads it."""
    url = make_url(server.url(user, database)).set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def _vault_token(openbao: OpenBao) -> str:
    openbao.client.sys.enable_secrets_engine("transit")
    kek = {"type": "aes256-gcm96", "derived": True}
    openbao.client.write_data("transit/keys/fields", data=kek)
    return openbao.token_for(POLICY, name="orders")
