"""What a configuration needs of Vault: every path that any component reads, lists, writes or signs.

Pure. One rule for each component, and nowhere else is it said what a component may do in Vault:
the policy that is printed, the paths that the doctor asks about and the policies in the
documents all come from here.

What anyone may ask is not listed: ``sys/health``, logins, and the issuers and CRLs of a PKI
mount. A setting without a rule fails a test, which fills every ``mount`` of the settings.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.certificates.issuers.factory import solver_place
from sidecar.certificates.issuers.vault_kv import kv_segment
from sidecar.config import model
from workload.x509.material import MaterialFault

MAX_NAMED = 200
"""So many certificates of an issuer are named one by one; Vault bounds the size of a policy."""
_HISTORY = "after a restart, tokens of a key that has just been replaced are denied"
_WHOLE = "the entry is read whole at each poll"
_WHOLE_BELOW = "entries are read whole at each poll, where there is no detailed-metadata"
_ONE_BY_ONE = "entries are asked for one by one, as on HashiCorp Vault, which has no such list"
_NO_RENEWAL = "the sidecar logs in again where it could renew its token"


class VaultNeed(NamedTuple):
    """One path of Vault, as a policy spells it; ``/*`` at its end means what is below."""

    path: str
    capabilities: frozenset[str]
    setting: str
    """The setting that it is for, such as ``tokens.issuers[0].keys``."""
    without: str = ""
    """What is so without it, where the sidecar serves all the same; empty where it can't."""
    entry: tuple[str, str] | None = None
    """Of a need of an entry's content: its KV mount, and its path there."""


class _Kv:
    """The paths of KV v2 below a mount, for one setting."""

    def __init__(self, place: str, mount: str) -> None:
        self._setting, self._mount = place, mount

    def data(self, path: str, *capabilities: str) -> VaultNeed:
        need = self._need("data", path, capabilities)
        return need._replace(entry=(self._mount, path))

    def metadata(self, path: str, *capabilities: str, without: str = "") -> VaultNeed:
        return self._need("metadata", path, capabilities, without)

    def versions(self, path: str) -> VaultNeed:
        return self._need("detailed-metadata", path, ("list",), _ONE_BY_ONE)

    def written(self, path: str) -> Iterator[VaultNeed]:
        """Yield what an entry needs that is read and written, and keeps no older version."""
        yield self.data(path, "create", "read", "update")
        yield self.metadata(path, "create", "update")

    def _need(self, kind: str, path: str, names: Iterable[str], without: str = "") -> VaultNeed:
        return VaultNeed(f"{self._mount}/{kind}/{path}", frozenset(names), self._setting, without)


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
        VaultNeed(f"{issuer.mount}/revoke", frozenset({"update"}), f"issuers[{at}], certs revoke")
        for at, issuer in enumerate(config.issuers)
        if isinstance(issuer, model.VaultPkiIssuer)
    )


def doctor_needs(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return what ``sidecar doctor`` needs besides, to ask what its token may do."""
    ask = VaultNeed("sys/capabilities-self", frozenset({"update"}), "sidecar doctor")
    return (
        ask,
        *(
            VaultNeed(
                f"{each.mount}/roles/{each.role}", frozenset({"read"}), f"issuers[{at}], doctor"
            )
            for at, each in enumerate(config.issuers)
            if isinstance(each, model.VaultPkiIssuer) and each.name in used_issuers(config)
        ),
    )


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
        yield VaultNeed("auth/token/renew-self", renew, "vault.auth", _NO_RENEWAL)


def _keys(config: model.Config) -> Iterator[VaultNeed]:
    for at, issuer in enumerate(config.tokens.issuers):
        place = f"tokens.issuers[{at}]"
        match issuer.keys:
            case model.VaultKvKeys(mount=mount, path=path):
                kv = _Kv(f"{place}.keys", mount)
                yield kv.data(path, "read")
                yield kv.metadata(path, "read", without=_HISTORY)
            case model.VaultTransitKeys(mount=mount, name=name):
                yield VaultNeed(f"{mount}/keys/{name}", frozenset({"read"}), f"{place}.keys")
            case model.JwksKeys() | model.OidcKeys():
                pass
        table = issuer.claims.tenant.tenants_from if issuer.claims is not None else None
        if table is not None:
            kv = _Kv(f"{place}.claims.tenant.tenants_from", table.mount)
            yield kv.data(table.path, "read")
    revoked = config.keys.revocations
    if revoked is not None:
        yield from _revocations(revoked)


def _revocations(settings: model.RevocationsSettings) -> Iterator[VaultNeed]:
    kv, path = _Kv("keys.revocations", settings.mount), settings.path
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
        yield _Kv("limits.tenants_from", entry.mount).data(entry.path, "read")


def _modules(config: model.Config) -> Iterator[VaultNeed]:
    if config.modules is not None:
        yield _Kv("modules", config.modules.mount).data(config.modules.path, "read")


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
                yield VaultNeed(f"{mount}/sign/{role}", frozenset({"update"}), place)
            case model.VaultKvIssuer():
                yield from _stored(config, place, issuer)
            case model.AcmeIssuerSettings():
                shares = True
                yield from _acme(place, issuer)
    store = config.certificate_store
    if store is not None and shares:
        kv = _Kv("certificate_store", store.mount)
        yield kv.data(f"{store.prefix}/*", "create", "read", "update")
        yield kv.metadata(f"{store.prefix}/*", "create", "read", "update")


def _stored(config: model.Config, place: str, issuer: model.VaultKvIssuer) -> Iterator[VaultNeed]:
    kv = _Kv(place, issuer.mount)
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
    yield from _Kv(f"{place}.account", issuer.account.mount).written(issuer.account.path)
    external = issuer.external_account
    if external is not None:
        yield _Kv(f"{place}.external_account", external.mount).data(external.path, "read")
    if issuer.dns is None or issuer.connects_to_edge:
        return
    match issuer.dns.update:
        case model.Rfc2136Update(tsig=tsig):
            yield _Kv(f"{place}.dns.update.tsig", tsig.mount).data(tsig.path, "read")
        case model.AcmeDnsUpdate(accounts=folder):
            kv = _Kv(f"{place}.dns.update.accounts", folder.mount)
            yield kv.data(f"{folder.prefix}/*", "read")


def _secrets(config: model.Config) -> Iterator[VaultNeed]:
    for at, bundle in enumerate(config.trust_bundles):
        if isinstance(bundle.roots, model.KvTrust):
            kv = _Kv(f"trust_bundles[{at}].roots", bundle.roots.mount)
            yield kv.data(bundle.roots.path, "read")
    for at, tickets in enumerate(config.session_ticket_keys):
        yield from _Kv(f"session_ticket_keys[{at}]", tickets.mount).written(tickets.path)
    for at, secret in enumerate(config.generic_secrets):
        yield _Kv(f"generic_secrets[{at}]", secret.mount).data(secret.path, "read")


def _domains(config: model.Config) -> Iterator[VaultNeed]:
    registry = config.on_demand.registry if config.on_demand is not None else None
    match registry:
        case model.VaultKvRegistry(mount=mount, path=path):
            kv = _Kv("on_demand.registry", mount)
            yield kv.data(path, "read")
            yield kv.metadata(path, "read")
        case model.VaultKvPrefixRegistry(mount=mount, prefix=prefix):
            kv = _Kv("on_demand.registry", mount)
            yield kv.metadata(prefix, "list")
            yield kv.data(f"{prefix}/*", "read")
            yield kv.versions(prefix)
        case model.FileRegistry() | model.HttpRegistry() | None:
            pass


def _audit(config: model.Config) -> Iterator[VaultNeed]:
    audit = config.audit
    if (signed := audit.checkpoints) is not None:
        sign, read = frozenset({"update"}), frozenset({"read"})
        yield VaultNeed(f"{signed.mount}/sign/{signed.key}", sign, "audit.checkpoints")
        yield VaultNeed(f"{signed.mount}/keys/{signed.key}", read, "audit.checkpoints")
    if (pseudonyms := audit.pseudonyms) is not None:
        kv, path = _Kv("audit.pseudonyms", pseudonyms.mount), pseudonyms.path
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
        yield _Kv(place, password.mount).data(password.path, "read")


def _spool(key: model.TransitSpoolKey | model.KvSpoolKey) -> Iterator[VaultNeed]:
    match key:
        case model.TransitSpoolKey(mount=mount, name=name):
            for call in ("datakey/plaintext", "decrypt"):
                path = f"{mount}/{call}/{name}"
                yield VaultNeed(path, frozenset({"update"}), "audit.spool.key")
        case model.KvSpoolKey(mount=mount, path=path):
            yield _Kv("audit.spool.key", mount).data(path, "read")
