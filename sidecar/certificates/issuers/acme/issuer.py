"""Certificates from an ACME CA (RFC 8555), its http-01 challenges answered by the Check.

One order: account (once), order, challenges published to the fleet, CA told, authorizations
polled as the CA asks, CSR, chain, checked. The key is made here and the CA sees a CSR.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from acme import messages
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certificates.challenges.http01 import LIFE_SECONDS, Challenge, DistributedSolver
from sidecar.certificates.issuers.acme.account import load_account
from sidecar.certificates.issuers.acme.client import (
    AccountKeyMaterial,
    AcmeClient,
    certificate_id,
    challenge_of,
)
from sidecar.certificates.issuers.acme.faults import AcmeFault, from_problem
from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.issuers.lease import FleetKv
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.clock import Now
from sidecar.config import model
from workload.x509.csr import make_csr
from workload.x509.material import Material, check_material

_log = logging.getLogger("sidecar.certificates")
_ORDERS = 4
"""Orders at once, each in at most one thread."""
_FIRST_POLL_SECONDS = 0.25
_MAX_POLL_SECONDS = 5.0
_CALL_PATIENCE = 4.0
"""How many of a request's time-outs a step may take: it makes a few requests."""

T = TypeVar("T")


class AcmeIssuer:
    """Orders from one CA with one account."""

    def __init__(
        self,
        settings: model.AcmeIssuer,
        vault: FleetKv,
        solver: DistributedSolver,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._solver = solver
        self._now = now
        self._sleep = sleep
        self._bridge = BlockingRunner(f"acme-{settings.name}", _ORDERS + 1)
        self._gate = asyncio.Semaphore(_ORDERS)
        self._opening = asyncio.Lock()
        self._account_key: AccountKeyMaterial | None = None
        self._known: tuple[messages.Directory, messages.RegistrationResource] | None = None
        self.name: str = settings.name
        self.outcomes: dict[str, int] = {}
        """How orders ended: ``ok`` or the problem, counted."""

    async def issue(self, order: Order) -> Material:
        """Order a certificate. Raises ``AcmeFault``, ``VaultFault`` or ``MaterialFault``."""
        if order.uri_sans or any(name.startswith("*.") for name in order.dns_names):
            raise AcmeFault(
                "unsupportedIdentifier", "a challenge proves host names; neither wildcards nor URIs"
            )
        try:
            async with self._gate:
                material = await self._issue(order)
        except AcmeFault as fault:
            self._count(fault.problem)
            if fault.problem == "caa":
                _log.error("a CAA record forbids this CA: %s", fault)
            raise
        self._count("ok")
        return material

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Ask the CA when to renew. Raises ``Fault``."""
        client = await self._open()
        return await self._run(partial(client.advise, material.chain_pem))

    def close(self) -> None:
        """Take no further orders."""
        self._bridge.close()

    async def _issue(self, order: Order) -> Material:
        key = ec.generate_private_key(ec.SECP256R1())
        names = tuple(dict.fromkeys(order.dns_names))
        csr = make_csr(key, names)
        replaces = certificate_id(order.replaces.chain_pem) if order.replaces else None
        client = await self._open()
        placed = await self._place(client, csr, names, replaces)
        await self._authorize(client, placed)
        placed = await self._run(partial(client.finalize, placed))
        pause = _FIRST_POLL_SECONDS
        while not placed.fullchain_pem:
            await self._sleep(client.retry_after_seconds or pause)
            pause = min(pause * 1.5, _MAX_POLL_SECONDS)
            placed = await self._run(partial(client.poll_order, placed))
            if placed.body.status == messages.STATUS_READY:
                await self._run(partial(client.finalize, placed))
        return check_material(placed.fullchain_pem, key, names, self._now())

    async def _place(
        self, client: AcmeClient, csr: str, names: tuple[str, ...], replaces: str | None
    ) -> messages.OrderResource:
        profile = self._settings.profile
        try:
            return await self._run(partial(client.new_order, csr, names, profile, replaces))
        except AcmeFault as fault:
            if fault.problem == "accountDoesNotExist":
                self._known = None  # the CA has forgotten us; the next order opens an account
            # A CA may refuse to replace what another order replaced already (RFC 9773 §5).
            if replaces is None or fault.problem not in {"alreadyReplaced", "malformed", "other"}:
                raise
        return await self._run(partial(client.new_order, csr, names, profile, None))

    async def _open(self) -> AcmeClient:
        """Return a client for one order, with the account open."""
        settings = self._settings
        async with self._opening:  # the first of many orders opens the account for all
            if self._account_key is None:
                self._account_key = await load_account(settings, self._vault)
            client = AcmeClient(
                settings.directory,
                self._account_key,
                ca_file=settings.ca_file,
                timeout_seconds=settings.timeout_seconds,
            )
            directory, account = self._known or (None, None)
            self._known = await self._run(
                partial(client.open, directory, account, settings.contacts)
            )
        return client

    async def _authorize(self, client: AcmeClient, placed: messages.OrderResource) -> None:
        """Prove every name that the CA does not hold as proved already."""
        offered: list[messages.ChallengeBody] = []
        solver: list[Challenge] = []
        pending = [a for a in placed.authorizations if a.body.status == messages.STATUS_PENDING]
        for each in placed.authorizations:
            if each.body.status not in {messages.STATUS_PENDING, messages.STATUS_VALID}:
                raise AcmeFault("unauthorized", "an authorization of the order is spent")
        for each in pending:
            kind = self._settings.challenge
            challenge = challenge_of(each, kind)
            if challenge is None:
                raise AcmeFault("unsupportedIdentifier", f"the CA offers no {kind} challenge")
            answer = challenge.chall.key_authorization(client.thumbprinted)
            token = answer.partition(".")[0]
            until = self._now() + LIFE_SECONDS
            host = each.body.identifier.value.lower()
            solver.append(Challenge(token, host, answer, until, kind))
            offered.append(challenge)
        try:
            if solver:
                await self._solver.publish(solver)
            for challenge in offered:
                await self._run(partial(client.answer, challenge))
            for each in pending:
                await self._wait_for(client, each.uri)
        finally:
            if solver:
                await self._solver.withdraw(solver)

    async def _wait_for(self, client: AcmeClient, url: str) -> None:
        pause = _FIRST_POLL_SECONDS
        while True:
            state = await self._run(partial(client.poll, url))
            if state.body.status == messages.STATUS_VALID:
                return
            if state.body.status not in {messages.STATUS_PENDING, messages.STATUS_PROCESSING}:
                raise _why_not(state.body)
            await self._sleep(client.retry_after_seconds or pause)
            pause = min(pause * 1.5, _MAX_POLL_SECONDS)

    async def _run(self, call: Callable[[], T]) -> T:
        patience = self._settings.timeout_seconds * _CALL_PATIENCE
        try:
            return await self._bridge.run(call, patience)
        except BlockingRunnerBusy:
            raise AcmeFault("unreachable", "earlier calls still hang, or we are ending") from None
        except TimeoutError:
            raise AcmeFault("unreachable", f"no answer within {patience:.0f} s") from None

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def _why_not(body: Any) -> AcmeFault:
    """Name why an authorization failed: the CA says it at the challenge."""
    offered: Sequence[Any] = body.challenges
    name = body.identifier.value
    for challenge in offered:
        if challenge.error is not None:
            fault = from_problem(challenge.error, None)
            return AcmeFault(fault.problem, f"{name} is not proved: {fault}")
    return AcmeFault("unauthorized", f"{name} is not proved: the authorization is {body.status}")
