"""What a configuration needs of Vault: every path that any component reads, lists, writes or signs.

Pure. One rule for each component, and nowhere else is it said what a component may do in Vault:
the policy that is printed, the paths that the doctor asks about and the policies in the
documents all come from here. Each need has the text (``entry_texts``) from which
``docs/reference-vault.md`` is made.

What anyone may ask is not listed: ``sys/health``, logins, and the issuers and CRLs of a PKI
mount. A setting without a rule fails a test, which fills every ``mount`` of the settings.
"""

from collections.abc import Iterator

from sidecar.certificates.issuers.factory import solver_place
from sidecar.certificates.issuers.vault_kv import kv_segment
from sidecar.config import model
from sidecar.doctor.entry_texts import audit_trail, certificates, commands, secrets, tokens
from sidecar.doctor.vault_paths import (
    KvPaths,
    PkiPaths,
    TransitPaths,
    VaultEngine,
    VaultMount,
    VaultNeed,
)
from workload.x509.material import MaterialFault

MAX_NAMED = 200
"""So many certificates of an issuer are named one by one; Vault bounds the size of a policy."""
_HISTORY = "after a restart, tokens of a key that has just been replaced are denied"
_WHOLE = "the entry is read whole at each poll"
_WHOLE_BELOW = "entries are read whole at each poll, where there is no detailed-metadata"
_NO_RENEWAL = "the sidecar logs in again where it could renew its token"


def needs_of(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return all that a running sidecar asks of Vault with these settings, in their order."""
    return tuple(
        need
        for rule in (_login, _keys, _limits, _modules, _certificates, _secrets, _domains, _audit)
        for need in rule(config)
    )


def revoking_needs(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return what ``sidecar certs revoke`` needs besides: the sidecar revokes at the CA."""
    return tuple(
        PkiPaths(commands.CERTS_REVOKE, f"issuers[{at}], certs revoke", issuer.mount).revoke()
        for at, issuer in enumerate(config.issuers)
        if isinstance(issuer, model.VaultPkiIssuer)
    )


def doctor_needs(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return what ``sidecar doctor`` needs besides, to ask what its token may do."""
    ask = VaultNeed(
        "sys/capabilities-self",
        frozenset({"update"}),
        "sidecar doctor",
        commands.DOCTOR_CAPABILITIES,
    )
    return (
        ask,
        *(
            PkiPaths(commands.DOCTOR_ROLE, f"issuers[{at}], doctor", each.mount).role(each.role)
            for at, each in enumerate(config.issuers)
            if isinstance(each, model.VaultPkiIssuer) and each.name in used_issuers(config)
        ),
    )


def mounts_of(config: model.Config) -> tuple[VaultMount, ...]:
    """Return the secrets engines that must be mounted, in the order in which they are named.

    A path that two settings use as different engines is there twice.
    """
    needs = (
        VaultMount(each.mount, each.engine, each.setting)
        for each in needs_of(config)
        if each.engine is not None
    )
    trusted = (
        VaultMount(mount, VaultEngine.PKI, f"trust_bundles[{at}].roots")
        for at, bundle in enumerate(config.trust_bundles)
        if isinstance(bundle.roots, model.PkiTrust)
        for mount in bundle.roots.mounts
    )
    found: dict[tuple[str, VaultEngine], VaultMount] = {}
    for each in (*needs, *trusted):
        found.setdefault((each.path, each.engine), each)
    return tuple(found.values())


def used_issuers(config: model.Config) -> frozenset[str]:
    """Return the issuers that some certificate may come from; a domain may name any of them."""
    if config.on_demand is not None:
        return frozenset(each.name for each in config.issuers)
    named = {each.issuer for each in config.certificates}
    acme = (each for each in config.issuers if isinstance(each, model.AcmeIssuerSettings))
    seconds = {each.fallback for each in acme if each.name in named and each.fallback is not None}
    return frozenset(named | seconds)


def _login(config: model.Config) -> Iterator[VaultNeed]:
    if not isinstance(config.vault.auth, model.TokenFileAuth):
        renew = frozenset({"update"})
        yield VaultNeed("auth/token/renew-self", renew, "vault.auth", tokens.LOGIN, _NO_RENEWAL)


def _keys(config: model.Config) -> Iterator[VaultNeed]:
    for at, issuer in enumerate(config.tokens.issuers):
        place = f"tokens.issuers[{at}]"
        match issuer.keys:
            case model.VaultKvKeys(mount=mount, path=path):
                kv = KvPaths(tokens.KEYS, f"{place}.keys", mount)
                yield kv.data(path, "read")
                yield kv.metadata(path, "read", without=_HISTORY)
            case model.VaultTransitKeys(mount=mount, name=name):
                yield TransitPaths(tokens.TRANSIT_KEYS, f"{place}.keys", mount, name).read()
            case model.JwksKeys() | model.OidcKeys():
                pass
        table = issuer.claims.tenant.tenants_from if issuer.claims is not None else None
        if table is not None:
            kv = KvPaths(tokens.TENANT_TABLE, f"{place}.claims.tenant.tenants_from", table.mount)
            yield kv.data(table.path, "read")
    revoked = config.keys.revocations
    if revoked is not None:
        yield from _revocations(revoked)


def _revocations(settings: model.RevocationsSettings) -> Iterator[VaultNeed]:
    kv, path = KvPaths(tokens.REVOCATIONS, "keys.revocations", settings.mount), settings.path
    yield kv.data(path, "read")
    yield kv.metadata(path, "read", without=_WHOLE)
    if settings.spread:
        yield kv.metadata(path, "list")
        yield kv.data(f"{path}/*", "read")
        yield kv.metadata(f"{path}/*", "read", without=_WHOLE_BELOW)
        yield kv.versions(path)


def _limits(config: model.Config) -> Iterator[VaultNeed]:
    entry = config.limits.tenants_from if config.limits is not None else None
    if entry is not None:
        kv = KvPaths(tokens.TENANT_LIMITS, "limits.tenants_from", entry.mount)
        yield kv.data(entry.path, "read")


def _modules(config: model.Config) -> Iterator[VaultNeed]:
    if config.modules is not None:
        kv = KvPaths(tokens.PUBLISHERS, "modules", config.modules.mount)
        yield kv.data(config.modules.path, "read")


def _certificates(config: model.Config) -> Iterator[VaultNeed]:
    used = used_issuers(config)
    shares = solver_place(config) is not None
    for at, issuer in enumerate(config.issuers):
        if issuer.name not in used:
            continue
        place = f"issuers[{at}]"
        match issuer:
            case model.VaultPkiIssuer(mount=mount, role=role):
                shares |= issuer.share
                yield PkiPaths(certificates.PKI_SIGN, place, mount).sign(role)
            case model.VaultKvIssuer():
                yield from _stored(config, place, issuer)
            case model.AcmeIssuerSettings():
                shares = True
                yield from _acme(place, issuer)
    store = config.certificate_store
    if store is not None and shares:
        kv = KvPaths(certificates.CERTIFICATE_STORE, "certificate_store", store.mount)
        yield kv.data(f"{store.prefix}/*", "create", "read", "update")
        yield kv.metadata(f"{store.prefix}/*", "create", "read", "update")


def _stored(config: model.Config, place: str, issuer: model.VaultKvIssuer) -> Iterator[VaultNeed]:
    kv = KvPaths(certificates.STORED_CERTIFICATE, place, issuer.mount)
    for segment in _segments(config, issuer.name):
        yield kv.data(f"{issuer.prefix}/{segment}", "read")
        yield kv.metadata(f"{issuer.prefix}/{segment}", "read")


def _segments(config: model.Config, issuer: str) -> list[str]:
    """Return the entries of an issuer; all below its prefix where a handshake may ask for any."""
    names = [each.name for each in config.certificates if each.issuer == issuer]
    if config.on_demand is not None or len(names) > MAX_NAMED:
        return ["*"]
    found = []
    for name in names:
        try:
            found.append(kv_segment(name))
        except MaterialFault:
            continue  # it can't be in Vault, so nothing is asked
    return found


def _acme(place: str, issuer: model.AcmeIssuerSettings) -> Iterator[VaultNeed]:
    account = KvPaths(certificates.ACME_ACCOUNT, f"{place}.account", issuer.account.mount)
    yield from account.written(issuer.account.path)
    external = issuer.external_account
    if external is not None:
        kv = KvPaths(certificates.EXTERNAL_ACCOUNT, f"{place}.external_account", external.mount)
        yield kv.data(external.path, "read")
    if issuer.dns is None or issuer.connects_to_edge:
        return
    match issuer.dns.update:
        case model.Rfc2136Update(tsig=tsig):
            kv = KvPaths(certificates.TSIG_KEY, f"{place}.dns.update.tsig", tsig.mount)
            yield kv.data(tsig.path, "read")
        case model.AcmeDnsUpdate(accounts=folder):
            setting = f"{place}.dns.update.accounts"
            kv = KvPaths(certificates.ACME_DNS_ACCOUNT, setting, folder.mount)
            yield kv.data(f"{folder.prefix}/*", "read")


def _secrets(config: model.Config) -> Iterator[VaultNeed]:
    for at, bundle in enumerate(config.trust_bundles):
        if isinstance(bundle.roots, model.KvTrust):
            setting = f"trust_bundles[{at}].roots"
            kv = KvPaths(secrets.TRUST_BUNDLE, setting, bundle.roots.mount)
            yield kv.data(bundle.roots.path, "read")
    for at, tickets in enumerate(config.session_ticket_keys):
        kv = KvPaths(secrets.SESSION_TICKETS, f"session_ticket_keys[{at}]", tickets.mount)
        yield from kv.written(tickets.path)
    for at, secret in enumerate(config.generic_secrets):
        kv = KvPaths(secrets.GENERIC_SECRET, f"generic_secrets[{at}]", secret.mount)
        yield kv.data(secret.path, "read")


def _domains(config: model.Config) -> Iterator[VaultNeed]:
    registry = config.on_demand.registry if config.on_demand is not None else None
    match registry:
        case model.VaultKvRegistry(mount=mount, path=path):
            kv = KvPaths(certificates.DOMAIN_LIST, "on_demand.registry", mount)
            yield kv.data(path, "read")
            yield kv.metadata(path, "read")
        case model.VaultKvPrefixRegistry(mount=mount, prefix=prefix):
            kv = KvPaths(certificates.DOMAIN_ENTRIES, "on_demand.registry", mount)
            yield kv.metadata(prefix, "list")
            yield kv.data(f"{prefix}/*", "read")
            yield kv.versions(prefix)
        case model.FileRegistry() | model.HttpRegistry() | None:
            pass


def _audit(config: model.Config) -> Iterator[VaultNeed]:
    audit = config.audit
    if (signed := audit.checkpoints) is not None:
        key = TransitPaths(
            audit_trail.CHECKPOINT_KEY, "audit.checkpoints", signed.mount, signed.key
        )
        yield key.call("sign")
        yield key.read()
    if (pseudonyms := audit.pseudonyms) is not None:
        kv = KvPaths(audit_trail.PSEUDONYMS, "audit.pseudonyms", pseudonyms.mount)
        path = pseudonyms.path
        yield kv.data(path, "create", "read")
        yield kv.data(f"{path}/*", "read")
        yield from kv.written(f"{path}/days")
    for at, sink in enumerate(audit.sinks):
        yield from _sink(f"audit.to[{at}]" if isinstance(audit.to, tuple) else "audit.to", sink)
    if audit.spool is not None:
        yield from _spool(audit.spool.key)


def _sink(place: str, sink: model.AuditSink) -> Iterator[VaultNeed]:
    password: object = None
    if isinstance(sink, model.ClickHouseAudit):
        password, place = sink.password, f"{place}.password"
    elif isinstance(sink, model.KafkaAudit) and sink.sasl is not None:
        password, place = sink.sasl.password, f"{place}.sasl.password"
    if isinstance(password, model.SecretEntry):
        kv = KvPaths(audit_trail.SINK_PASSWORD, place, password.mount)
        yield kv.data(password.path, "read")


def _spool(key: model.TransitSpoolKey | model.KvSpoolKey) -> Iterator[VaultNeed]:
    match key:
        case model.TransitSpoolKey(mount=mount, name=name):
            wrapping = TransitPaths(audit_trail.SPOOL_TRANSIT, "audit.spool.key", mount, name)
            yield wrapping.call("datakey/plaintext")
            yield wrapping.call("decrypt")
        case model.KvSpoolKey(mount=mount, path=path):
            yield KvPaths(audit_trail.SPOOL_KEY, "audit.spool.key", mount).data(path, "read")
