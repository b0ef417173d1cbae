"""Which user a tenant is in ClickHouse, and by which password: derived from one key. Pure.

ClickHouse's HTTP interface takes user and password with each request, so a user for each tenant
costs no pool for each. The password is an HMAC-SHA256 (RFC 2104) of role and tenant by a key
that the application has and the server has not: the server stores its hash. Whoever writes SQL
as one tenant's user can neither change that user's setting nor become another user.
"""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Literal, NamedTuple, Self
from urllib.parse import quote

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.names import checked_name
from workload.tenancy.seal import SealKey, read_key

_SHAPES = {
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII),
    "text": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@|/-]{0,127}", re.ASCII),
}


class TenantLogin(NamedTuple):
    """A tenant's user and password. Its representation shows no password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"TenantLogin({self.user!r}, …)"

    def hash(self) -> str:
        """Return what the server stores: the password's SHA-256 in hexadecimal."""
        return hashlib.sha256(self.password.encode()).hexdigest()


class TenantLogins:
    """Makes the logins of a role's tenants."""

    def __init__(
        self, key: SealKey, role: str, tenant_type: Literal["uuid", "text"] = "uuid"
    ) -> None:
        self._key = key
        self._shape = _SHAPES[tenant_type]
        self.role = checked_name(role)
        self.type = tenant_type

    @classmethod
    def of_file(
        cls, path: str | Path, role: str, tenant_type: Literal["uuid", "text"] = "uuid"
    ) -> Self:
        """Read the key's file. Raises ``SealKeyUnreadable``."""
        return cls(read_key(path), role, tenant_type)

    def tenant(self, tenant_id: str) -> str:
        """Return a tenant as the server knows it. Raises ``SettingsFault`` for what is none."""
        tenant = tenant_id.lower() if self.type == "uuid" else tenant_id
        if not self._shape.fullmatch(tenant):
            raise SettingsFault(f"{tenant_id[:64]!r} is no tenant of the type {self.type}")
        return tenant

    def login(self, tenant_id: str) -> TenantLogin:
        """Return a tenant's login. Raises ``SettingsFault`` for what is no tenant.

        In the user's name every sign beyond letters, digits, ``_.-`` is percent-encoded: a colon
        would end it in HTTP's Basic authentication (RFC 7617 §2).
        """
        tenant = self.tenant(tenant_id)
        said = f"septem-clickhouse-login-v1\n{self._key.kid}\n{self.role}\n{tenant}".encode()
        password = hmac.new(self._key.key, said, "sha256").hexdigest()
        return TenantLogin(f"{self.role}-{quote(tenant, safe='')}", password)
