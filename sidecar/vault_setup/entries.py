"""Entries of KV v2 that must be there before the sidecar starts. Pure.

Some begin empty, and one is a random key: a step makes them. What somebody else gives (the client
secret of an identity provider, a certificate that is stored already) is left to its owner.
"""

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sidecar.certificates.issuers.vault_kv import kv_segment
from sidecar.config import model
from sidecar.vault_setup.step import WriteStep, shell
from workload.x509.material import MaterialFault

_SPOOL_KEY_BYTES = 32


def entry_steps(config: model.Config) -> Iterator[WriteStep]:
    """Yield a step for each entry, but for the keys of token issuers."""
    yield from _beginnings(config)
    spool = config.audit.spool
    if spool is not None and isinstance(spool.key, model.KvSpoolKey):
        yield _spool_key(spool.key)
    yield from _left(config)


def _beginnings(config: model.Config) -> Iterator[WriteStep]:
    for at, issuer in enumerate(config.tokens.issuers):
        table = issuer.claims.tenant.tenants_from if issuer.claims is not None else None
        if table is not None:
            yield _empty(table, f"tokens.issuers[{at}].claims.tenant.tenants_from")
    if config.limits is not None and config.limits.tenants_from is not None:
        yield _empty(config.limits.tenants_from, "limits.tenants_from")
    if config.modules is not None:
        yield _empty(config.modules, "modules")
    registry = config.on_demand.registry if config.on_demand is not None else None
    if isinstance(registry, model.VaultKvRegistry):
        yield _empty(registry, "on_demand.registry", {"domains": []})


def _left(config: model.Config) -> Iterator[WriteStep]:
    for at, issuer in enumerate(config.issuers):
        if isinstance(issuer, model.AcmeIssuerSettings):
            yield from _of_acme(f"issuers[{at}]", issuer)
        elif isinstance(issuer, model.VaultKvIssuer):
            for each in config.certificates:
                if each.issuer == issuer.name:
                    yield from _stored(issuer, each.name)
    for at, bundle in enumerate(config.trust_bundles):
        if isinstance(roots := bundle.roots, model.KvTrust):
            fields = (roots.field, *filter(None, (roots.crl_field,)))
            yield left_step(roots.mount, roots.path, fields, f"trust_bundles[{at}].roots")
    for at, secret in enumerate(config.generic_secrets):
        yield left_step(secret.mount, secret.path, (secret.field,), f"generic_secrets[{at}]")
    yield from _of_sinks(config.audit)


def _of_sinks(audit: model.Audit) -> Iterator[WriteStep]:
    for sink in audit.sinks:
        password: object = None
        if isinstance(sink, model.ClickHouseAudit):
            password = sink.password
        elif isinstance(sink, model.KafkaAudit) and sink.sasl is not None:
            password = sink.sasl.password
        if isinstance(password, model.SecretEntry):
            yield left_step(password.mount, password.path, (password.field,), "audit.to")


def _of_acme(place: str, issuer: model.AcmeIssuerSettings) -> Iterator[WriteStep]:
    if (external := issuer.external_account) is not None:
        fields = ("kid", "hmac_key")
        yield left_step(external.mount, external.path, fields, f"{place}.external_account")
    if issuer.dns is not None and isinstance(issuer.dns.update, model.Rfc2136Update):
        tsig = issuer.dns.update.tsig
        yield left_step(tsig.mount, tsig.path, ("name", "secret"), f"{place}.dns.update.tsig")


def _stored(issuer: model.VaultKvIssuer, name: str) -> Iterator[WriteStep]:
    try:
        path = f"{issuer.prefix}/{kv_segment(name)}"
    except MaterialFault:
        return  # it can't be in Vault
    fields = (issuer.certificate_field, issuer.key_field)
    yield left_step(issuer.mount, path, fields, f"certificates {name}")


def left_step(mount: str, path: str, fields: tuple[str, ...], setting: str) -> WriteStep:
    """Return the step of an entry that only its owner can write, with these fields."""
    values = [f"{each}=@FILE" for each in fields]
    return WriteStep(
        name=f"entry {mount}/{path}",
        settings=(setting,),
        command=shell("bao", "kv", "put", f"-mount={mount}", path, *values),
        looked_at=f"{mount}/data/{path}",
        picked="",
        written="",
        data=dict,
        judge=partial(_judge_fields, fields),
    )


def _judge_fields(fields: tuple[str, ...], held: Mapping[str, Any]) -> str:
    entry = held.get("data") or {}
    missing = [each for each in fields if not entry.get(each)]
    return f"has no field {', '.join(missing)}" if missing else ""


def _empty(place: Any, setting: str, content: Mapping[str, Any] | None = None) -> WriteStep:
    first = content or {}
    text = shell("echo", json.dumps(first))
    put = shell("bao", "kv", "put", f"-mount={place.mount}", place.path, "-")
    command = f"{text} | {put}"
    return kv_step(place.mount, place.path, setting, command=command, content=lambda: first)


def _spool_key(place: model.KvSpoolKey) -> WriteStep:
    def data() -> Mapping[str, Any]:
        return {place.field: base64.b64encode(secrets.token_bytes(_SPOOL_KEY_BYTES)).decode()}

    put = shell("bao", "kv", "put", f"-mount={place.mount}", place.path, f"{place.field}=-")
    return kv_step(
        place.mount,
        place.path,
        "audit.spool.key",
        command=f'printf %s "$(openssl rand -base64 {_SPOOL_KEY_BYTES})" | {put}',
        content=data,
        fields=(place.field,),
    )


def kv_step(
    mount: str,
    path: str,
    setting: str,
    *,
    command: str,
    content: Callable[[], Mapping[str, Any]],
    fields: tuple[str, ...] = (),
) -> WriteStep:
    """Return the step of an entry that is written if it has never been."""
    return WriteStep(
        name=f"entry {mount}/{path}",
        settings=(setting,),
        command=command,
        looked_at=f"{mount}/data/{path}",
        picked="",  # an entry may be empty, and is there all the same
        written=f"{mount}/data/{path}",
        data=lambda: {"data": dict(content()), "options": {"cas": 0}},
        judge=partial(_judge_fields, fields),
    )
