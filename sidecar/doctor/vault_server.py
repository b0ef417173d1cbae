"""Whether Vault can be reached, takes the sidecar's login, and allows what the settings need."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.doctor.diagnosis import NotWell, Skip
from sidecar.doctor.policy import PolicyLine
from sidecar.vault.client import VaultClient
from sidecar.vault.contact import MAX_SKEW_SECONDS
from sidecar.vault.errors import VaultForbidden
from sidecar.vault.session import make_vault_session
from sidecar.vault.translate import translated

ASKED_AT_ONCE = 200
"""Paths in one question to ``sys/capabilities-self``."""
_ROOT = "root"
_POLICY = "sidecar vault policy"


class VaultHealth(NamedTuple):
    """What Vault says of itself to anyone; ``ahead_seconds`` is how far its clock is ahead."""

    status: Mapping[str, Any]
    ahead_seconds: float | None


class ServerLook:
    """Looks at the server itself, without a login."""

    def __init__(self, settings: model.Vault) -> None:
        self._settings = settings
        self.health: VaultHealth | None = None

    async def reach(self) -> str:
        """Return its version. Raises ``VaultFault``, or ``NotWell`` where it can't serve."""
        self.health = health = await asyncio.to_thread(self._ask)
        status, address = health.status, self._settings.address
        if not status.get("initialized", False):
            raise NotWell(f"{address} is not initialised", "Run `vault operator init` on its host.")
        if status.get("sealed", True):
            raise NotWell(f"{address} is sealed", "Unseal it: `vault operator unseal` on its host.")
        kind = "a standby, which forwards to its leader" if status.get("standby") else "active"
        return f"{address} is version {str(status.get('version'))[:40]}, unsealed, {kind}"

    async def clock(self) -> str:
        """Compare the clocks. Raises ``NotWell`` where they differ by more than some seconds."""
        if self.health is None or self.health.ahead_seconds is None:
            raise Skip("Vault has not answered")
        ahead = self.health.ahead_seconds
        if abs(ahead) <= MAX_SKEW_SECONDS:
            return f"within {MAX_SKEW_SECONDS:.0f} s of Vault's"
        way = "behind" if ahead > 0 else "ahead of"
        raise NotWell(
            f"this machine's clock is {abs(ahead):.0f} s {way} Vault's",
            "Synchronise both clocks (NTP): tokens are accepted by this machine's.",
        )

    def _ask(self) -> VaultHealth:
        settings, auth, dates = self._settings, self._settings.auth, list[float]()
        pair = (auth.certificate_file, auth.key_file) if isinstance(auth, model.CertAuth) else None
        on_socket = settings.address.startswith("unix:")
        base = "http://localhost" if on_socket else settings.address.rstrip("/")
        with translated(
            f"Vault at {settings.address}, sys/health", (settings.ca_file, *(pair or ()))
        ):
            session = make_vault_session(settings, pair, dates.append)
            with session:
                answer = session.get(f"{base}/v1/sys/health", timeout=settings.timeout_seconds)
        try:
            status = answer.json()
        except (ValueError, RecursionError):
            status = None
        if not isinstance(status, dict) or "sealed" not in status:
            raise NotWell(
                f"{settings.address} answers, and is no Vault",
                "Correct vault.address: host and port of Vault or OpenBao.",
            )
        return VaultHealth(status, dates[-1] - wall_seconds() if dates else None)


async def log_in(vault: VaultClient, settings: model.Vault) -> str:
    """Log in, as the sidecar does. Raises ``VaultFault``."""
    await vault.login()
    lease = vault.lease
    method = type(settings.auth).__struct_config__.tag
    if lease is None or lease.expires_at is None:
        return f"{method}: a token that does not say when it ends"
    renewable = "renewable" if lease.renewable else "not renewable"
    return f"{method}: a token, {renewable}"


async def read_capabilities(
    vault: VaultClient, lines: Sequence[PolicyLine]
) -> dict[str, frozenset[str]]:
    """Return what our token may do at each path. Raises ``VaultFault``."""
    found: dict[str, frozenset[str]] = {}
    for at in range(0, len(lines), ASKED_AT_ONCE):
        paths = [each.path for each in lines[at : at + ASKED_AT_ONCE]]

        def ask(client: Any, paths: list[str] = paths) -> Mapping[str, Any]:
            answer = client.adapter.post(url="/v1/sys/capabilities-self", json={"paths": paths})
            data: Mapping[str, Any] = answer["data"]
            return data

        data = await vault.perform("capabilities", "sys/capabilities-self", ask)
        found |= {path: frozenset(map(str, data.get(path) or ())) for path in paths}
    return found


class Capabilities:
    """What our token may do, asked once; by path."""

    def __init__(self, vault: VaultClient, lines: Sequence[PolicyLine]) -> None:
        self._vault = vault
        self._lines = lines
        self._known: dict[str, frozenset[str]] | None = None

    async def ask(self) -> str:
        """Ask Vault. Raises ``VaultFault``, and ``Skip`` where our token may not ask."""
        try:
            self._known = await read_capabilities(self._vault, self._lines)
        except VaultForbidden as fault:
            # Of a token that is dead it is true as well; every read that follows says so.
            raise Skip(
                "Vault does not tell this token what it may do, or does not take the token: "
                f"`{_POLICY} --with doctor` has the line for it ({fault.words or 'forbidden'})"
            ) from None
        return f"asked for {len(self._lines)} paths"

    async def look(self, line: PolicyLine) -> str:
        """Compare one path. Raises ``NotWell`` for what is missing."""
        if self._known is None:
            raise Skip("Vault was not asked, or did not say")
        has = self._known.get(line.path, frozenset())
        missing = () if _ROOT in has else tuple(x for x in line.capabilities if x not in has)
        if not missing:
            return f"{', '.join(line.capabilities)} ({', '.join(line.settings)})"
        if line.without:
            return f"may not {', '.join(missing)}; without it, {line.without}"
        raise NotWell(
            f"may not {', '.join(missing)}, which {', '.join(line.settings)} needs",
            f"Add to the policy of the sidecar's role, as `{_POLICY}` prints it: {line}",
        )
