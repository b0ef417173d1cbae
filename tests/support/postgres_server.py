"""The demo's PostgreSQL, as the tests name it."""

from demo.postgresql import PostgresServer, postgres_server

__all__ = ["PostgresServer", "postgres_server"]
