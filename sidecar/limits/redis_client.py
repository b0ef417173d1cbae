"""The connection to Redis or Valkey: TLS, user and password, and what its errors mean."""

import ssl
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from sidecar.common.errors import Fault
from sidecar.config.limits import RedisSettings

_MAX_PASSWORD_BYTES = 4096


class StoreFault(Fault):
    """Redis can't be used; the limits go on with the last shares."""

    retryable = True


class PasswordFile(CredentialProvider):
    """The user and the password, read for every connection: a rotated one needs no restart."""

    def __init__(self, username: str | None, path: Path) -> None:
        self._username = username
        self._path = path

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the password, after the user where there is one. Raises ``StoreFault``."""
        try:
            with self._path.open(encoding="utf-8") as file:
                password = file.read(_MAX_PASSWORD_BYTES + 1).strip()
        except (OSError, ValueError):
            raise StoreFault(
                f"Redis's password can't be read from {self._path}: make it readable by this "
                "process"
            ) from None
        if not password or len(password) > _MAX_PASSWORD_BYTES:
            raise StoreFault(f"{self._path} has no password of Redis in it")
        return (password,) if self._username is None else (self._username, password)


def make_client(settings: RedisSettings) -> Redis:
    """Return a client that tries each command once; the loop above tries again."""
    host, _, port = settings.address.rpartition(":")
    tls: dict[str, Any] = {}
    if settings.tls:
        tls = {
            "ssl": True,
            "ssl_ca_certs": settings.ca_file,
            "ssl_certfile": settings.certificate_file,
            "ssl_keyfile": settings.key_file,
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    password_file = settings.password_file
    return Redis(
        host=host.strip("[]"),
        port=int(port),
        db=settings.database,
        credential_provider=(
            None if password_file is None else PasswordFile(settings.username, Path(password_file))
        ),
        socket_timeout=settings.timeout_seconds,
        socket_connect_timeout=settings.timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        max_connections=2,
        protocol=2,
        **tls,
    )


def fault_of(exc: Exception, settings: RedisSettings) -> Fault:
    """Return what went wrong and what to do, without the text of a foreign exception."""
    where = f"Redis {settings.address}"
    if isinstance(exc, Fault):
        return exc
    if isinstance(exc, AuthenticationError):
        return StoreFault(f"{where} refuses the user or the password of limits.redis")
    if isinstance(exc, NoPermissionError):
        return StoreFault(
            f"{where} refuses a command: its user needs ~{settings.prefix}* and the commands that "
            "docs/limits.md lists"
        )
    if isinstance(exc, ResponseError):  # the text's first word is Redis's code: READONLY, OOM, …
        code = str(exc).partition(" ")[0]
        known = code if code.isascii() and code.isupper() else type(exc).__name__
        return StoreFault(
            f"{where} can't run the script of limits ({known[:40]}); it must be the primary, with "
            "room for its keys"
        )
    if isinstance(exc, TimeoutError | RedisError | OSError):
        return StoreFault(f"{where} does not answer ({type(exc).__name__})")
    return StoreFault(f"{where}: {type(exc).__name__}")
