"""A database user of Vault's, whose lease is renewed, and replaced before it ends.

Vault makes the user for us and drops it when the lease ends, when its maximum is reached, or when
the token that asked for it ends. So a new user is obtained when a renewal gives too little, and
when our token is another one; ``current`` names the new one from then on, and the one before is
revoked after ``overlap_seconds``, in which connections made with it are given back. A static
role has no lease: Vault changes the password of one user, and tells for how long it holds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from workload.backoff import Backoff, with_jitter
from workload.clock import Now
from workload.refresh import RefreshLoop
from workload.secrets.errors import SecretsAway, SecretsFault
from workload.secrets.secret import Secret
from workload.settings import DatabaseRole
from workload.vault.client import VaultApi
from workload.vault.errors import VaultCallFault, VaultHasNot, VaultInvalid, VaultRefuses

RENEW_AT_SHARE = 2 / 3
LOOK_SECONDS = 30.0
"""How often our token is looked at: with it ends what it leased."""
_STATIC_MARGIN_SECONDS = 1.0
_RETRY = Backoff(1.0, 30.0)


class DatabaseUser(NamedTuple):
    """Who to connect as. ``number`` counts those that came before."""

    name: str
    password: Secret
    number: int


class _Lease(NamedTuple):
    """Times are monotonic seconds."""

    lease_id: str
    renew_at: float
    ends_at: float
    seconds: float
    token_changes: int


class DatabaseCredentials(RefreshLoop):
    """The user of a role as it is now. ``current`` may be read from any thread."""

    def __init__(
        self,
        vault: VaultApi,
        role: DatabaseRole,
        now: Now,
        jitter: Callable[[], float],
        *,
        overlap_seconds: float,
    ) -> None:
        super().__init__(now, jitter)
        self._where = f"{role.mount}/{'static-creds' if role.static else 'creds'}/{role.role}"
        self.what = f"the database user of {self._where}"
        self._vault = vault
        self._role = role
        self._overlap_seconds = overlap_seconds
        self._user: DatabaseUser | None = None
        self._lease: _Lease | None = None
        self._retired: list[tuple[float, str]] = []

    @property
    def current(self) -> DatabaseUser:
        """Whom to connect as from now on. Raises ``SecretsAway`` after the end of its lease."""
        if self._user is None or self.has_ended():
            raise SecretsAway(f"{self.what} has ended, and Vault gives no other one")
        return self._user

    async def load(self) -> None:
        """Do what is due: obtain a user, renew its lease, revoke old ones. Raises ``Fault``."""
        if self._role.static:
            await self._read_static()
            return
        changes = await self._vault.token_changes()
        lease, now = self._lease, self._now()
        if lease is None or lease.token_changes != changes or now >= lease.ends_at:
            await self._obtain(changes)
        elif now >= lease.renew_at:
            await self._renew(lease, changes)
        await self._revoke_old()
        self._plan()

    async def aclose(self) -> None:
        """Revoke what is leased. What Vault does not take ends with its lease."""
        lease, self._lease, self._user = self._lease, None, None
        ids = [each for _, each in self._retired] + ([lease.lease_id] if lease else [])
        self._retired = []
        for each in ids:
            await self._revoke(each)

    def pause_after_failure(self) -> float:
        """Double, up to half a minute."""
        return _RETRY.pause_seconds(self.failures_in_a_row, self._jitter())

    def has_ended(self) -> bool:
        """Return whether Vault has dropped the user by now."""
        return self._lease is None or (not self._role.static and self._now() >= self._lease.ends_at)

    async def _obtain(self, changes: int) -> None:
        now = self._now()
        answer = await self._vault.call("GET", self._where)
        lease, user = self._lease_of(answer, now, changes), self._user_of(answer)
        before, self._lease, self._user = self._lease, lease, user
        if before is not None and now < before.ends_at:
            self._retired.append((now + self._overlap_seconds, before.lease_id))

    async def _renew(self, lease: _Lease, changes: int) -> None:
        """Renew; obtain another user where Vault gives less than half of what it gave at first."""
        now = self._now()
        request = {"lease_id": lease.lease_id, "increment": int(lease.seconds)}
        try:
            answer = await self._vault.call("PUT", "sys/leases/renew", request)
        except (VaultInvalid, VaultHasNot, VaultRefuses):  # revoked, or at its maximum
            await self._obtain(changes)
            return
        renewed = self._lease_of(answer, now, changes)
        if renewed.seconds < lease.seconds / 2:
            await self._obtain(changes)
            return
        self._lease = renewed._replace(lease_id=lease.lease_id, seconds=lease.seconds)

    async def _read_static(self) -> None:
        now = self._now()
        answer = await self._vault.call("GET", self._where)
        left = _data(answer, self._where).get("ttl")
        if not isinstance(left, int | float) or left < 0:
            raise SecretsFault(f"{self._where}: the answer does not say how long it holds")
        self._user = self._user_of(answer)
        self._lease = _Lease("", now, float("inf"), left, 0)
        self.due = now + min(left + _STATIC_MARGIN_SECONDS, LOOK_SECONDS)

    async def _revoke_old(self) -> None:
        now = self._now()
        ended = [each for each in self._retired if each[0] <= now]
        self._retired = [each for each in self._retired if each[0] > now]
        for _, lease_id in ended:
            await self._revoke(lease_id)

    async def _revoke(self, lease_id: str) -> None:
        """Revoke a lease. Who may not, or can't now, leaves it to its end."""
        try:
            await self._vault.call("PUT", "sys/leases/revoke", {"lease_id": lease_id})
        except VaultCallFault:
            return

    def _user_of(self, answer: dict[str, Any]) -> DatabaseUser:
        data = _data(answer, self._where)
        name, password = data.get("username"), data.get("password")
        if not (isinstance(name, str) and name and isinstance(password, str) and password):
            raise SecretsFault(f"{self._where}: the answer has no username and password")
        before = self._user
        secret = Secret(password, f"{self._where}, the password of {name}")
        if before is not None and (before.name, before.password) == (name, secret):
            return before
        return DatabaseUser(name, secret, before.number + 1 if before else 1)

    def _lease_of(self, answer: dict[str, Any], now: float, changes: int) -> _Lease:
        lease_id, seconds = answer.get("lease_id"), answer.get("lease_duration")
        if not isinstance(lease_id, str) or not isinstance(seconds, int | float) or seconds <= 0:
            raise SecretsFault(f"{self._where}: the answer has no lease")
        renew_at = now + with_jitter(seconds * RENEW_AT_SHARE, self._jitter())
        return _Lease(lease_id, renew_at, now + seconds, seconds, changes)

    def _plan(self) -> None:
        now = self._now()
        lease = self._lease
        times = [now + LOOK_SECONDS, *(at for at, _ in self._retired)]
        self.due = min(times if lease is None else [*times, lease.renew_at])


def _data(answer: dict[str, Any], where: str) -> dict[str, Any]:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise SecretsFault(f"{where}: the answer has no data")
    return data
