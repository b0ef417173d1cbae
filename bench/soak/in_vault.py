"""Disturbances of Vault, and of what it holds: keys, revocations, publishers of bundles."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

from bench.soak.schedule import Disturbance
from bench.soak.settings import ISSUERS, KEY_PATHS
from bench.soak.tokens import SigningKey
from bench.soak.tools import Tools
from bench.soak.world import RISKY, WITHDRAWN

_SLACK_SECONDS = 1.0
"""How far from the announced moment a replaced key may stop: clocks are read in two processes."""


class InVault:
    """Changes what Vault holds, and takes Vault away."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._revocations: dict[str, list[dict[str, Any]]] = {"tokens": [], "subjects": []}

    async def _put(self, path: str, entry: Mapping[str, Any]) -> None:
        write = self._tools.stack.openbao.client.secrets.kv.v2.create_or_update_secret
        await asyncio.to_thread(write, path, dict(entry))

    async def rotate_keys(self, each: Disturbance) -> None:
        """Replace the keys of both issuers at once, or of one; the one before has its window."""
        both = each.strength < 0.6
        which = range(len(ISSUERS)) if both else [each.number % len(ISSUERS)]
        fresh = {number: SigningKey.generate() for number in which}
        with self._tools.timeline.during("keys_rotated", f"{list(which)}", self._tools.clock):
            begun = self._tools.clock()
            for number, key in fresh.items():
                self._tools.world.verifies(key.kid).begin(value=True, now=begun)
                await self._put(KEY_PATHS[number], {"value": key.pem})
            written = self._tools.clock()
            await self._tools.until(self._tools.refreshed, "the new keys are in force")
            seen = self._tools.clock()
            # docs/keys.md: the window of the old key begins one poll after the new one was
            # written, or when that is seen, if it is later.
            window, poll = (
                self._tools.stack.shared.dual_key_seconds,
                self._tools.stack.shared.poll_seconds,
            )
            soonest = begun + poll + window - _SLACK_SECONDS
            latest = max(seen, written + poll) + window + _SLACK_SECONDS
            for number, key in fresh.items():
                self._tools.world.verifies(key.kid).settle(seen)
                old = self._tools.world.keys[number].current
                self._tools.world.verifies(old.kid).begin(value=False, now=soonest, settled=latest)
                self._tools.world.keys[number].rotate(key)

    async def revoke_token(self, each: Disturbance) -> None:
        """Revoke a token by its id."""
        number, issuer = each.number % RISKY, ISSUERS[each.number % len(ISSUERS)]
        entry = {"iss": issuer, "jti": f"risky-{number}", "exp": int(self._tools.wall()) + 7200}
        self._revocations["tokens"].append(entry)
        await self._revoke(issuer, f"jti risky-{number}")

    async def revoke_subject(self, each: Disturbance) -> None:
        """Revoke whatever a subject has."""
        number, issuer = each.number % RISKY, ISSUERS[each.number % len(ISSUERS)]
        until = (
            int(self._tools.wall()) + 86_400
        )  # so that tokens that are signed later are revoked too
        entry = {"iss": issuer, "sub": f"risky-{number}", "issued_before": until}
        self._revocations["subjects"].append(entry)
        await self._revoke(issuer, f"sub risky-{number}")

    async def _revoke(self, issuer: str, what: str) -> None:
        fact = self._tools.world.revoked(issuer, what)
        with self._tools.timeline.during("revoked", f"{what} of {issuer}", self._tools.clock):
            if not fact.newest:
                fact.begin(True, self._tools.clock())
            await self._put("iam/revocations", self._revocations)
            await self._tools.until(self._tools.refreshed, "a revocation is in force")
            fact.settle(self._tools.clock())

    async def withdraw_bundle(self, _each: Disturbance) -> None:
        """Put a bundle on the list of withdrawn ones, or take it off."""
        withdrawn = not self._tools.world.withdrawn.newest
        with self._tools.timeline.during("bundle_withdrawn", str(withdrawn), self._tools.clock):
            self._tools.world.withdrawn.begin(withdrawn, self._tools.clock())
            entry = publishers_entry(self._tools.stack.publisher_pem, withdrawn=withdrawn)
            await self._put("modules/publishers", entry)
            await self._tools.until(self._tools.refreshed, "a withdrawal is in force")
            self._tools.world.withdrawn.settle(self._tools.clock())

    async def _outage(
        self, each: Disturbance, begin: Callable[[], Any], end: Callable[[], Any]
    ) -> None:
        with self._tools.timeline.during(each.kind, "", self._tools.clock):
            await asyncio.to_thread(begin)
            await asyncio.sleep(1 + 5 * each.strength)
            await asyncio.to_thread(end)
            await self._tools.until(self._tools.refreshed, "Vault is read again")

    async def kill_vault(self, each: Disturbance) -> None:
        """Kill Vault, and start it again with its storage."""
        openbao = self._tools.stack.openbao

        def kill() -> None:
            openbao.process.signal(SIGKILL)
            openbao.process.wait(30)

        await self._outage(each, kill, openbao.start_again)

    async def freeze_vault(self, each: Disturbance) -> None:
        """Have Vault answer nothing for a while."""
        signal = self._tools.stack.openbao.process.signal
        await self._outage(each, lambda: signal(SIGSTOP), lambda: signal(SIGCONT))

    async def seal_vault(self, each: Disturbance) -> None:
        """Seal Vault, and unseal it."""
        openbao = self._tools.stack.openbao
        await self._outage(each, openbao.client.sys.seal, openbao.unseal)


def publishers_entry(pem: str, *, withdrawn: bool) -> dict[str, Any]:
    """Return the entry of a publisher of modules."""
    digest = hashlib.sha256(WITHDRAWN).hexdigest()
    return {"acme": pem, **({"withdrawn_bundles": [digest]} if withdrawn else {})}
