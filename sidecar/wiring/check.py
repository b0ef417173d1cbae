"""The Check put together, for whichever process answers it.

Imports neither grpcio, hvac nor prometheus-client: a worker has no use for them.
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

import msgspec

from sidecar.audit import AuditLog
from sidecar.authz.policy import build_snapshot
from sidecar.authz.service import CheckService, Outcome
from sidecar.clock import elapsed_ns, wall_seconds
from sidecar.config import model
from sidecar.keys.keyring import EMPTY_RING, KeyRing
from sidecar.keys.lifecycle import KeyState
from sidecar.observe import Counts, observe_decision
from sidecar.reasons import Reason
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.revocation import Revocations
from sidecar.transport.lane import SlowLane


def make_check(
    config: model.Config,
    *,
    counts: Counts,
    audit: AuditLog,
    cache: TokenCache,
    on_unknown_kid: Callable[[], None],
    on_fault: Callable[[Exception], None],
) -> CheckService:
    """Build the service, without keys. ``on_unknown_kid`` must return at once."""
    service = CheckService(
        build_snapshot(config, EMPTY_RING),
        now=wall_seconds,
        elapsed_ns=elapsed_ns,
        new_id=make_ids(),
        observe=partial(observe_decision, counts, audit),
        on_fault=on_fault,
        cache=cache,
        lane=SlowLane(asyncio.get_running_loop()),
    )
    service.add_observer(partial(_tell_unknown_kid, on_unknown_kid))
    return service


def give_keys(
    service: CheckService, ring: KeyRing, revocations: Revocations, state: KeyState
) -> None:
    """Have the service decide by these from the next Check on."""
    service.snapshot = msgspec.structs.replace(
        service.snapshot, ring=ring, revocations=revocations, key_state=state
    )


def _tell_unknown_kid(tell: Callable[[], None], outcome: Outcome) -> None:
    if outcome.decision.outcome is Reason.KEY_UNKNOWN:
        tell()


def make_ids() -> Callable[[], str]:
    """Make decision ids: unique, and telling nothing of how many there were before.

    A random number for the process, and a count scattered over 32 bits by an odd factor.
    """
    process = secrets.token_hex(6)
    count = secrets.randbits(32)

    def new_id() -> str:
        nonlocal count
        count += 1
        return f"{process}{count * 0x9E3779B1 & 0xFFFFFFFF:08x}"

    return new_id
