"""``sidecar vault setup``: everything that a configuration needs in a development server of Vault.

The steps are made of the settings (``setup_steps``); one after the other is looked for, and made
if it is not there. What is there is never changed or deleted, so a second run makes nothing.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault_setup.credentials import credential_steps
from sidecar.vault_setup.dev_server import read_storage, refusal
from sidecar.vault_setup.engines import (
    mount_steps,
    namespace_names,
    namespace_step,
    transit_steps,
)
from sidecar.vault_setup.entries import entry_steps
from sidecar.vault_setup.login import (
    approle_steps,
    login_plan,
    platform_step,
    policy_step,
    setup_policy,
)
from sidecar.vault_setup.pki import role_steps
from sidecar.vault_setup.signing_keys import key_steps
from sidecar.vault_setup.step import SetupOutcome, SetupResult, SetupStep


class SetupChoices(NamedTuple):
    """What the operator has chosen."""

    printed_by: str
    """The command that prints the policy."""
    name: str = "sidecar"
    """Of the policy and of the AppRole."""
    revoking: bool = False
    """Whether the policy has what ``sidecar certs revoke`` needs."""
    signing_keys: Path | None = None
    credentials: Path | None = None
    replaces: bool = False
    dry_run: bool = False
    confirmed: str | None = None
    """The address of a server that is none for development, and is meant."""


class PlacedStep(NamedTuple):
    """A step, and the namespace that its paths are in."""

    step: SetupStep
    namespace: str | None


def setup_steps(config: model.Config, choices: SetupChoices) -> tuple[PlacedStep, ...]:
    """Return all steps in the order in which they can be made. Pure. Raises ``Fault``."""
    names = namespace_names(config)
    outer = (None, *names)
    around = (PlacedStep(namespace_step(name), outer[at]) for at, name in enumerate(names))
    inside = config.vault.namespace
    return (*around, *(PlacedStep(step, inside) for step in _steps(config, choices)))


def _steps(config: model.Config, choices: SetupChoices) -> Iterator[SetupStep]:
    yield from mount_steps(config)
    yield from role_steps(config)
    yield from transit_steps(config)
    yield from key_steps(config, choices.signing_keys)
    yield from entry_steps(config)
    text = setup_policy(config, revoking=choices.revoking)
    yield policy_step(choices.name, text, choices.printed_by)
    plan = login_plan(config, choices.name)
    if plan is None:
        yield platform_step(config.vault.auth, choices.name)
        return
    yield from approle_steps(plan)
    yield from credential_steps(
        config.vault.auth,
        plan,
        choices.credentials,
        tries=not choices.dry_run,
        replaces=choices.replaces,
    )


async def set_up(
    config: model.Config, operator: model.TokenFileAuth, choices: SetupChoices
) -> AsyncIterator[SetupResult]:
    """Make what is not there, and yield what became of each step; end after one that failed.

    ``operator`` is the login of the person who sets up. Raises ``Fault`` before the first step,
    where the server is none for development and was not named.
    """
    steps = setup_steps(config, choices)
    if not choices.dry_run:
        why = refusal(await read_storage(config.vault), config.vault.address, choices.confirmed)
        if why:
            raise Fault(why)
    clients: dict[str | None, VaultClient] = {}
    try:
        for step, namespace in steps:
            if namespace not in clients:
                settings = msgspec.structs.replace(config.vault, auth=operator, namespace=namespace)
                clients[namespace] = VaultClient(settings, clock=monotonic_seconds)
            result = await take(step, clients[namespace], dry_run=choices.dry_run)
            yield result
            if result.outcome is SetupOutcome.FAILED:
                return
    finally:
        for each in clients.values():
            await each.close()


async def take(step: SetupStep, vault: VaultClient, *, dry_run: bool) -> SetupResult:
    """Look for one step's result, and make it if it is not there. Never raises ``Fault``."""
    try:
        outcome, detail = await _take(step, vault, dry_run=dry_run)
    except Fault as fault:
        outcome, detail = SetupOutcome.FAILED, str(fault)
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        # A proxy or another program may answer in Vault's place, in any shape.
        outcome = SetupOutcome.FAILED
        detail = f"what answers at vault.address is no Vault's answer ({type(exc).__name__})"
    return SetupResult(step.name, outcome, detail, step.command, step.settings)


async def _take(step: SetupStep, vault: VaultClient, *, dry_run: bool) -> tuple[SetupOutcome, str]:
    found = await step.look(vault)
    if found is not None and found.wrong:
        return SetupOutcome.DIFFERS, found.wrong
    if found is not None:
        return SetupOutcome.THERE, found.detail
    if step.is_left:
        return SetupOutcome.LEFT, "its owner writes it"
    if dry_run:
        return SetupOutcome.WOULD_MAKE, ""
    return SetupOutcome.MADE, await step.make(vault)
