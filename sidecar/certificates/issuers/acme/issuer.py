"""Certificates from an ACME CA (RFC 8555), whose challenges the fleet answers.

The steps of an order: open the account (once), place the order, publish the challenges to the
fleet, notify the CA, poll the authorizations, send the CSR, fetch the chain, check it. The key
is made here, and the CA sees only a CSR.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from acme import messages

from sidecar.certificates.challenges.challenge_list import (
    DNS,
    LIFE_SECONDS,
    Challenge,
    ChallengeFault,
)
from sidecar.certificates.issuers.acme.account import load_account
from sidecar.certificates.issuers.acme.client import AccountKeyMaterial, AcmeClient
from sidecar.certificates.issuers.acme.extensions import certificate_id, challenge_of
from sidecar.certificates.issuers.acme.faults import AcmeFault, from_problem, printable
from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.issuers.keys import P256, configured_kind, make_key
from sidecar.certificates.issuers.lease import FleetKv
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.common.blocking import BlockingRunnerBusy
from sidecar.common.clock import Now
from sidecar.common.lanes import LanedRunner
from sidecar.config import model
from workload.backoff import Backoff
from workload.x509.csr import make_csr
from workload.x509.material import Material, check_material

_log = logging.getLogger("sidecar.certificates")
_THREADS = 4
"""Of each lane: steps of orders that talk to the CA at once. An order that waits uses none."""
_POLLS = Backoff(0.25, 5.0, growth=1.5)
"""The pause between two polls of an order for which the CA names none."""
_CALL_PATIENCE = 4.0
"""A step may take this many times the time-out of a request, since it makes several."""

T = TypeVar("T")


class ChallengeSolver(Protocol):
    """Puts challenges where the CA looks: the fleet's edge, or the DNS."""

    async def check(self, hosts: tuple[str, ...]) -> None:
        """Raise a ``Fault`` if it is known already that hosts can't be proved."""

    async def publish(self, challenges: list[Challenge]) -> None:
        """Put challenges in place. Raises ``Fault``; ``withdraw`` must follow all the same."""

    async def withdraw(self, challenges: list[Challenge]) -> None:
        """Take challenges away. Never raises a ``Fault``."""


class AcmeIssuer:
    """Orders from one CA with one account."""

    def __init__(
        self,
        settings: model.AcmeIssuerSettings,
        vault: FleetKv,
        solver: ChallengeSolver,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._solver = solver
        self._now = now
        self._sleep = sleep
        self._runner = LanedRunner(f"acme-{settings.name}", _THREADS)
        self.slots = OrderSlots()
        self._opening = asyncio.Lock()
        self._account_key: AccountKeyMaterial | None = None
        self._known: tuple[messages.Directory, messages.RegistrationResource] | None = None
        self.name: str = settings.name
        self.outcomes: dict[str, int] = {}
        """Counts of orders by outcome: ``ok`` or the problem."""

    async def issue(self, order: Order) -> Material:
        """Order a certificate.

        Raises ``AcmeFault``, ``ChallengeFault``, ``VaultFault`` or ``MaterialFault``.
        """
        if order.uri_sans or order.ip_sans:
            raise AcmeFault(
                "unsupportedIdentifier", "ACME proves host names; neither URIs nor addresses"
            )
        wildcards = [name for name in order.dns_names if name.startswith("*.")]
        if wildcards and self._settings.challenge != DNS:
            raise AcmeFault(
                "unsupportedIdentifier",
                f"{wildcards[0]} is a wildcard, which {self._settings.challenge} can't prove "
                f"(RFC 8555 §8.3): set issuers[].challenge of {self.name} to {DNS}",
            )
        try:
            async with self.slots.hold(order):
                material = await self._issue(order)
        except AcmeFault as fault:
            self._count(fault.problem)
            if fault.problem == "caa":
                _log.error("a CAA record forbids this CA to issue: %s", fault)
            raise
        except ChallengeFault:
            self._count("challenge")
            raise
        self._count("ok")
        return material

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Ask the CA when to renew. Raises ``Fault``."""
        client = await self._open()
        return await self._run(partial(client.advise, material.chain_pem))

    def close(self) -> None:
        """Stop taking orders."""
        self._runner.close()

    async def _issue(self, order: Order) -> Material:
        key = await make_key(configured_kind(self._settings.key) or P256)
        names = tuple(dict.fromkeys(order.dns_names))
        csr = make_csr(key, names)
        replaces = certificate_id(order.replaces.chain_pem) if order.replaces else None
        await self._solver.check(tuple(name.removeprefix("*.") for name in names))
        client = await self._open()
        placed = await self._place(client, csr, names, replaces)
        await self._authorize(client, placed, names)
        placed = await self._run(partial(client.finalize, placed))
        polls = 0
        while not placed.fullchain_pem:
            polls += 1
            await self._sleep(client.retry_after_seconds or _POLLS.pause_seconds(polls, 0.0))
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
                self._known = None  # the CA has deleted the account; the next order opens one
            # A CA may refuse ``replaces`` for a certificate that is replaced already (RFC 9773 §5).
            if replaces is None or fault.problem not in {"alreadyReplaced", "malformed", "other"}:
                raise
        return await self._run(partial(client.new_order, csr, names, profile, None))

    async def _open(self) -> AcmeClient:
        """Return a client for one order, with the account open."""
        settings = self._settings
        async with self._opening:  # the first of several orders opens the account for all
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

    async def _authorize(
        self, client: AcmeClient, placed: messages.OrderResource, names: tuple[str, ...]
    ) -> None:
        """Prove every name that the CA has not authorized already."""
        offered: list[messages.ChallengeBody] = []
        solver: list[Challenge] = []
        hosts = {name.removeprefix("*.") for name in names}
        pending = [a for a in placed.authorizations if a.body.status == messages.STATUS_PENDING]
        for each in placed.authorizations:
            if each.body.status not in {messages.STATUS_PENDING, messages.STATUS_VALID}:
                raise AcmeFault(
                    "unauthorized", "an authorization of the order is neither pending nor valid"
                )
        for each in pending:
            kind = self._settings.challenge
            challenge = challenge_of(each, kind)
            if challenge is None:
                raise AcmeFault("unsupportedIdentifier", f"the CA offers no {kind} challenge")
            answer = challenge.chall.key_authorization(client.thumbprinted)
            token = answer.partition(".")[0]
            until = self._now() + LIFE_SECONDS
            host = each.body.identifier.value.lower()
            if host not in hosts:
                raise AcmeFault("other", f"the CA asks to prove {printable(host)}, not ordered")
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
        polls = 0
        while True:
            state = await self._run(partial(client.poll, url))
            if state.body.status == messages.STATUS_VALID:
                return
            if state.body.status not in {messages.STATUS_PENDING, messages.STATUS_PROCESSING}:
                raise _why_not(state.body)
            polls += 1
            await self._sleep(client.retry_after_seconds or _POLLS.pause_seconds(polls, 0.0))

    async def _run(self, call: Callable[[], T]) -> T:
        patience = self._settings.timeout_seconds * _CALL_PATIENCE
        try:
            return await self._runner.run(call, patience)
        except BlockingRunnerBusy:
            raise AcmeFault(
                "unreachable", "earlier calls still hang, or the sidecar is stopping"
            ) from None
        except TimeoutError:
            raise AcmeFault("unreachable", f"no answer within {patience:.0f} s") from None

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def _why_not(body: Any) -> AcmeFault:
    """Return why an authorization failed; the CA says it in the challenge."""
    offered: Sequence[Any] = body.challenges
    name = body.identifier.value
    for challenge in offered:
        if challenge.error is not None:
            fault = from_problem(challenge.error, None)
            return AcmeFault(fault.problem, f"the CA could not verify {name}: {fault}")
    return AcmeFault(
        "unauthorized", f"the CA could not verify {name}: the authorization is {body.status}"
    )
