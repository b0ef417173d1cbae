"""Whether what the settings name in Vault is there, and says what the sidecar can use."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from sidecar.audit_trail.signer import read_keys
from sidecar.certificates.issuers.vault_kv import kv_segment
from sidecar.config import model
from sidecar.doctor.diagnosis import NotWell
from sidecar.keys.factory import close_source, make_key_source
from sidecar.limits.tenant_limits import read_tenant_limits
from sidecar.module_signing.publisher_entry import read_publishers
from sidecar.tokens.revocation_entry import read_revocations
from sidecar.tokens.tenant_tables import read_tenant_table
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.trust import read_ca_issuers

_SPOOL_KEY_BYTES = 32


class EntryLook(NamedTuple):
    """One thing in Vault, and what looks at it."""

    name: str
    look: Callable[[], Awaitable[str]]


def entry_looks(config: model.Config, vault: VaultClient) -> Iterator[EntryLook]:
    """Yield what looks at each entry and key that must be there before the sidecar starts."""
    for at, issuer in enumerate(config.tokens.issuers):
        place = f"tokens.issuers[{at}]"
        yield EntryLook(f"{place}.keys", partial(_keys, config, issuer, vault))
        table = issuer.claims.tenant.tenants_from if issuer.claims is not None else None
        if table is not None:
            name = f"{place}.claims.tenant.tenants_from"
            yield _entry(
                name, vault, table, lambda data: counted(read_tenant_table(data), "tenants")
            )
    if (revoked := config.keys.revocations) is not None:
        yield EntryLook("keys.revocations", partial(_revocations, vault, revoked))
    if config.modules is not None:
        yield _entry("modules", vault, config.modules, _publishers)
    if config.limits is not None and (tenants := config.limits.tenants_from) is not None:
        yield _entry("limits.tenants_from", vault, tenants, _limits)
    yield from _secrets(config, vault)
    yield from _audit(config, vault)


def _secrets(config: model.Config, vault: VaultClient) -> Iterator[EntryLook]:
    for at, bundle in enumerate(config.trust_bundles):
        name = f"trust_bundles[{at}].roots"
        if isinstance(bundle.roots, model.KvTrust):
            fields = (bundle.roots.field, *filter(None, (bundle.roots.crl_field,)))
            yield _fields(name, vault, bundle.roots, *fields)
        else:
            yield EntryLook(name, partial(_roots, vault, bundle.roots))
    for at, secret in enumerate(config.generic_secrets):
        yield _fields(f"generic_secrets[{at}]", vault, secret, secret.field)
    for each in config.certificates:
        for issuer in config.issuers:
            if isinstance(issuer, model.VaultKvIssuer) and issuer.name == each.issuer:
                look = partial(_stored, vault, issuer, each.name)
                yield EntryLook(f"certificate {each.name}", look)
    for at, issuer in enumerate(config.issuers):
        if isinstance(issuer, model.AcmeIssuerSettings):
            if (external := issuer.external_account) is not None:
                name = f"issuers[{at}].external_account"
                yield _fields(name, vault, external, "kid", "hmac_key")
            if issuer.dns is not None and isinstance(issuer.dns.update, model.Rfc2136Update):
                tsig = issuer.dns.update.tsig
                yield _fields(f"issuers[{at}].dns.update.tsig", vault, tsig, "name", "secret")


async def _stored(vault: VaultClient, issuer: model.VaultKvIssuer, name: str) -> str:
    place = model.VaultEntry(mount=issuer.mount, path=f"{issuer.prefix}/{kv_segment(name)}")
    fields = (issuer.certificate_field, issuer.key_field)
    return await _fields(f"certificate {name}", vault, place, *fields).look()


async def _roots(vault: VaultClient, settings: model.PkiTrust) -> str:
    found = [
        issuer
        for mount in settings.mounts
        for issuer in await read_ca_issuers(vault, mount, crl=settings.crl)
    ]
    if not found:
        raise NotWell(
            f"{', '.join(settings.mounts)} has no CA",
            "Make one: vault write <mount>/root/generate/internal common_name=… key_type=ec",
        )
    return counted(found, "CAs")


def _audit(config: model.Config, vault: VaultClient) -> Iterator[EntryLook]:
    audit = config.audit
    if (signed := audit.checkpoints) is not None:
        yield EntryLook("audit.checkpoints", partial(_checkpoints, vault, signed))
    for sink in audit.sinks:
        password = sink.password if isinstance(sink, model.ClickHouseAudit) else None
        if isinstance(sink, model.KafkaAudit) and sink.sasl is not None:
            password = sink.sasl.password
        if isinstance(password, model.SecretEntry):
            yield _fields(f"audit.to {sink.name}, password", vault, password, password.field)
    if audit.spool is not None:
        yield EntryLook("audit.spool.key", partial(_spool_key, vault, audit.spool.key))


def _entry(
    name: str, vault: VaultClient, place: Any, read: Callable[[Mapping[str, Any]], str]
) -> EntryLook:
    async def look() -> str:
        return read(await _read(vault, place.mount, place.path))

    return EntryLook(name, look)


def _fields(name: str, vault: VaultClient, place: Any, *fields: str) -> EntryLook:
    def read(data: Mapping[str, Any]) -> str:
        for each in fields:
            if not isinstance(data.get(each), str) or not data[each]:
                raise NotWell(
                    f"Vault entry {place.mount}/{place.path} has no text in its field {each!r}",
                    f"Write the field, or correct its name at {name}.",
                )
        return f"{place.mount}/{place.path} has {', '.join(fields)}"

    return _entry(name, vault, place, read)


async def _read(vault: VaultClient, mount: str, path: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = (await vault.read_kv(mount, path)).data
    return data


async def _keys(config: model.Config, issuer: model.TokenIssuerSettings, vault: VaultClient) -> str:
    source = make_key_source(config, issuer, vault)
    try:
        statement = await source.fetch()
    finally:
        close_source(source)
    if not statement.keys:
        raise NotWell(
            f"no key of {issuer.issuer} can verify its tokens",
            "Publish a key of an algorithm that tokens.issuers[].algorithms lists.",
        )
    return f"{issuer.issuer}: {counted(statement.keys, 'keys')}"


async def _revocations(vault: VaultClient, settings: model.RevocationsSettings) -> str:
    """Read the entry itself; those below it are read in the same way."""
    try:
        data = await _read(vault, settings.mount, settings.path)
    except VaultNotFound:
        return f"{settings.mount}/{settings.path}: nothing is revoked there yet"
    read_revocations(data)
    return f"{settings.mount}/{settings.path} can be read"


def _publishers(data: Mapping[str, Any]) -> str:
    found = read_publishers(data)
    if found.problems:
        raise NotWell(found.problems[0], "Correct that publisher's field in the entry of modules.")
    return counted(data, "fields")


def _limits(data: Mapping[str, Any]) -> str:
    found, problems = read_tenant_limits(data)
    if problems:
        raise NotWell(problems[0], "Correct that field in the entry of limits.tenants_from.")
    return counted(found, "tenants")


async def _checkpoints(vault: VaultClient, settings: model.CheckpointSettings) -> str:
    keys = await read_keys(vault, settings.mount, settings.key)
    return f"{settings.mount}/{settings.key}: ed25519, {counted(keys, 'versions')}"


async def _spool_key(vault: VaultClient, settings: model.TransitSpoolKey | model.KvSpoolKey) -> str:
    plain: object
    if isinstance(settings, model.TransitSpoolKey):
        plain, _ = await vault.new_data_key(settings.mount, settings.name)
        where = f"transit key {settings.mount}/{settings.name}"
    else:
        data = await _read(vault, settings.mount, settings.path)
        plain = data.get(settings.field)
        where = f"Vault entry {settings.mount}/{settings.path}, field {settings.field!r}"
    try:
        size = len(base64.b64decode(plain, validate=True)) if isinstance(plain, str) else 0
    except (binascii.Error, ValueError):
        size = 0
    if size != _SPOOL_KEY_BYTES:
        raise NotWell(
            f"{where} gives no key of {_SPOOL_KEY_BYTES} bytes in base64",
            "Write 32 random bytes in base64: `openssl rand -base64 32`.",
        )
    return f"{where} gives a key"


def counted(found: Any, what: str) -> str:
    """Return how many there are of something, whose plural ends in s."""
    count = len(found)
    return f"{count} {what[:-1] if count == 1 else what}"
