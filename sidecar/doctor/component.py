"""Everything that ``sidecar doctor`` looks at, one thing after the other."""

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis, NotWell, Skip, diagnose
from sidecar.doctor.envoy_admin import EnvoyAdmin
from sidecar.doctor.needs import needs_of, used_issuers
from sidecar.doctor.pki_role import role_problems
from sidecar.doctor.policy import policy_of
from sidecar.doctor.surroundings import RunningSidecar, listener_looks, surrounding_looks
from sidecar.doctor.vault_entries import EntryLook, counted, entry_looks
from sidecar.doctor.vault_server import Capabilities, ServerLook, log_in
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden

_WITHOUT_VAULT = "Vault can't be used, as said above"


async def examine(config: model.Config, envoy_admin: str | None = None) -> AsyncIterator[Diagnosis]:
    """Look at everything, and yield what was found of each thing. Never raises."""
    async for each in _vault(config):
        yield each
    running = RunningSidecar(config)
    yield await diagnose("running sidecar", running.look)
    for look in (*listener_looks(config, running), *surrounding_looks(config)):
        yield await diagnose(look.name, look.look)
    if envoy_admin is not None:
        for look in EnvoyAdmin(envoy_admin, config).looks():
            yield await diagnose(look.name, look.look)


async def _vault(config: model.Config) -> AsyncIterator[Diagnosis]:
    server = ServerLook(config.vault)
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    try:
        yield (reached := await diagnose("vault", server.reach))
        yield await diagnose("clock", server.clock)
        usable = reached.outcome is CheckOutcome.OK
        logged_in = await _after(usable, EntryLook("vault login", partial(_log_in, vault, config)))
        yield logged_in
        usable = logged_in.outcome is CheckOutcome.OK
        async for each in _with_login(config, vault, usable=usable):
            yield each
    finally:
        await vault.close()


async def _log_in(vault: VaultClient, config: model.Config) -> str:
    auth = config.vault.auth
    if isinstance(auth, model.AppRoleAuth) and auth.secret_id_wrapped:
        raise Skip(
            "a login would use up the wrapping token in secret_id_file, which is good for one: "
            "start the sidecar, whose log and /readyz say how its own login went"
        )
    return await log_in(vault, config.vault)


async def _with_login(
    config: model.Config, vault: VaultClient, *, usable: bool
) -> AsyncIterator[Diagnosis]:
    lines = policy_of(needs_of(config))
    capabilities = Capabilities(vault, lines)
    asked = EntryLook("capabilities", capabilities.ask)
    paths = [EntryLook(line.path, partial(capabilities.look, line)) for line in lines]
    roles = _roles(config, vault)
    for each in (asked, *paths, *entry_looks(config, vault), *roles):
        # A JWK Set is not in Vault. One that has ceased to answer is not waited for each time.
        usable = usable and vault.is_healthy
        yield await _after(usable or _is_elsewhere(config, each.name), each)


async def _after(usable: bool, each: EntryLook) -> Diagnosis:
    if not usable:
        return Diagnosis(each.name, CheckOutcome.SKIPPED, _WITHOUT_VAULT)
    return await diagnose(each.name, each.look)


def _is_elsewhere(config: model.Config, name: str) -> bool:
    issuers: Iterable[tuple[int, model.TokenIssuerSettings]] = enumerate(config.tokens.issuers)
    return any(
        name == f"tokens.issuers[{at}].keys"
        and isinstance(each.keys, model.JwksKeys | model.OidcKeys)
        for at, each in issuers
    )


def _roles(config: model.Config, vault: VaultClient) -> list[EntryLook]:
    used = used_issuers(config)
    return [
        EntryLook(f"issuers[{at}] role {each.role}", partial(_role, config, each, vault))
        for at, each in enumerate(config.issuers)
        if isinstance(each, model.VaultPkiIssuer) and each.name in used
    ]


async def _role(config: model.Config, issuer: model.VaultPkiIssuer, vault: VaultClient) -> str:
    """Compare a role with the certificates that it is to sign."""
    path = f"{issuer.mount}/roles/{issuer.role}"

    def read(client: Any) -> Any:
        return client.read(path)

    try:
        answer = await vault.perform("pki_role", path, read)
    except VaultForbidden:
        raise Skip(
            f"this token may not read {path}: `sidecar vault policy --with doctor` has the line"
        ) from None
    if answer is None:
        raise NotWell(
            f"{issuer.mount} has no role {issuer.role}",
            f"Make it: vault write {path} allowed_domains=… allow_subdomains=true key_type=ec",
        )
    asked = [each for each in config.certificates if each.issuer == issuer.name]
    for certificate in asked:
        for problem in role_problems(answer["data"], issuer, certificate):
            raise NotWell(
                f"certificate {certificate.name}: the role {problem}",
                f"Change the role: vault write {path} with that parameter and the others it has.",
            )
    return f"signs the names of {counted(asked, 'certificates')}"
