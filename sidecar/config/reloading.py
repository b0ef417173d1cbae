"""Which settings change while the sidecar runs, and which need a restart. One table says it.

``LIVE`` names each setting that a reload applies; ``RESTART`` names the others, with the reason,
and there the name of a section stands for all that is in it. What is in neither needs a restart:
a new setting can't be ignored by a reload that says it was applied. ``tests`` walk the model.

Names are those of the file: ``routes[].roles`` is a setting of each element of a list, and
``routes[]`` that there is such an element at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from sidecar.common.redact import redact
from sidecar.config.model import Config

_SHOWN = 120
"""The most characters of a value in a message."""
_NAMES = ("name", "issuer", "tenant_id")
"""The field by which an element of a list is known, the first that it has."""
_ABSENT = "absent"

_LIVE_SECTIONS: Mapping[str, str] = {
    "tokens": "max_token_bytes max_lifetime_seconds leeway_seconds require_nbf cache_entries",
    "tokens.pii": "by_name by_value",
    "tokens.issuers[]": "issuer audiences algorithms types tolerate_headers max_lifetime_seconds "
    "leeway_seconds require audience_claim",
    "tokens.issuers[].pii": "allowed",
    "tokens.issuers[].claims": "user jti client",
    "tokens.issuers[].claims.tenant": "path type tenants any fixed",
    "tokens.issuers[].claims.tenant.tenants_from": "path mount poll_seconds",
    "tokens.issuers[].claims.roles[]": "path type prefix strip_prefix optional",
    "tokens.issuers[].claims.scopes[]": "path type prefix strip_prefix optional",
    "tokens.dpop": "algorithms max_age_seconds leeway_seconds nonce nonce_seconds ports",
    "tokens.issuers[].keys": "path mount field name url ca_file timeout_seconds",
    "keys": "max_age_seconds poll_seconds dual_key_seconds when_degraded denied_kids",
    "keys.revocations": "path mount spread poll_seconds max_age_seconds",
    "limits": "max_keys",
    "limits.tenants_from": "path mount",
    "limits.redis": "address username password_file tls ca_file certificate_file key_file "
    "database prefix timeout_seconds sync_seconds",
    "limits.tenant": "requests per_seconds burst shadow",
    "limits.address": "requests per_seconds burst shadow",
    "limits.token": "requests per_seconds burst shadow",
    "routes[].limits": "fields",
    **{
        f"routes[].limits.{rate}": "requests per_seconds burst shadow"
        for rate in (
            "total",
            "tenant",
            "address",
            "token",
            "login.attempts",
            "login.account_attempts",
        )
    },
    "routes[].limits.login": "account_json account_form max_body_bytes",
    "tenants[].limit": "requests per_seconds burst shadow",
    "routes[]": "name auth hosts methods head_with_get path path_prefix path_reading csp nonce "
    "cors tenant roles scopes token_from clients shadow keep_overrides module "
    "end_streams_with_token",
    "routes[].binding": "by unbound",
    "tenants[]": "tenant_id domain csp",
    "headers": "hsts referrer_policy permissions_policy cross_origin_opener_policy "
    "cross_origin_embedder_policy cross_origin_resource_policy origin_agent_cluster csp cors "
    "remove_from_request keep_overrides",
    "headers.reports": "path group silent max_per_second burst client_max_per_second "
    "client_burst table_rows keep_latest queue_reports",
    "headers.reports.forward": "path max_bytes keep url ca_file timeout_seconds",
    "modules": "path mount max_bundle_bytes owner_roles content_types",
    "alerts.webhook": "url secret_file ca_file timeout_seconds",
    "audit": "chain sample_allowed record_inputs queue_lines queue_bytes",
    **dict.fromkeys(
        ("audit.to", "audit.to[]"),
        "name path max_bytes keep url ca_file timeout_seconds database table user certificate_file "
        "key_file compression batch_lines batch_bytes batch_seconds brokers topic tls",
    ),
    **dict.fromkeys(
        (
            "audit.to.password",
            "audit.to[].password",
            "audit.to.sasl.password",
            "audit.to[].sasl.password",
        ),
        "path mount field poll_seconds",
    ),
    **dict.fromkeys(("audit.to.sasl", "audit.to[].sasl"), "username mechanism"),
    "audit.spool": "max_bytes",
    "log": "level",
    "issuers[]": "name role mount ttl_seconds share crl_poll_seconds prefix certificate_field "
    "key_field poll_seconds directory agree_to_terms contacts ca_file challenge profile fallback "
    "timeout_seconds edge_seconds",
    "issuers[].dns": "resolvers propagation_seconds nameserver_port",
    "issuers[].dns.update": "server zones url ca_file",
    "issuers[].dns.update.tsig": "path mount",
    "issuers[].dns.update.accounts": "prefix mount",
    "issuers[].key": "type bits",
    "issuers[].account": "path mount",
    "issuers[].external_account": "path mount",
    "certificate_store": "prefix mount lease_seconds order_seconds",
    "certificates[]": "name issuer common_name alt_names spiffe_id ip_addresses when_revoked",
    "certificates[].probe": "address within_seconds every_seconds roots",
    "on_demand": "issuer max_names max_labels ttl_seconds retry_seconds max_retry_seconds "
    "orders_per_minute orders_burst orders_waiting orders_per_domain domain_window_seconds",
    "on_demand.registry": "path poll_seconds mount prefix entry_ttl_seconds url ca_file "
    "timeout_seconds positive_ttl_seconds negative_ttl_seconds queries_per_second",
    "trust_bundles[]": "name peers spki_pins poll_seconds",
    "trust_bundles[].roots": "mounts crl path mount field crl_field",
    "session_ticket_keys[]": "name path mount rotate_seconds poll_seconds",
    "generic_secrets[]": "name path mount field poll_seconds",
}
_MAY_APPEAR = frozenset(
    {
        "certificate_store",
        "certificates[]",
        "certificates[].probe",
        "generic_secrets[]",
        "issuers[]",
        "issuers[].dns",
        "issuers[].dns.update",
        "issuers[].external_account",
        "issuers[].key",
        "on_demand.registry",
        "session_ticket_keys[]",
        "trust_bundles[]",
        "trust_bundles[].roots",
        "tokens.issuers[]",
        "tokens.issuers[].keys",
        "tokens.issuers[].claims",
        "tokens.issuers[].claims.tenant.tenants_from",
        "tokens.issuers[].claims.roles[]",
        "tokens.issuers[].claims.scopes[]",
        "alerts.webhook",
        "audit.to",
        "audit.to[]",
        "audit.to.password",
        "audit.to[].password",
        "audit.to.sasl",
        "audit.to[].sasl",
        "audit.to.sasl.password",
        "audit.to[].sasl.password",
        "headers.reports.forward",
        "keys.revocations",
        "routes[]",
        "tenants[]",
        "limits.address",
        "limits.redis",
        "limits.tenants_from",
        "limits.token",
        "tenants[].limit",
        "routes[].binding",
        "routes[].limits",
        "routes[].limits.total",
        "routes[].limits.tenant",
        "routes[].limits.address",
        "routes[].limits.token",
        "routes[].limits.login",
    }
)
"""Sections that a reload may add, remove or replace by another kind."""
_ALONE = frozenset({"config_watch_seconds", "config_watch_allow_restart"})
"""Settings that stand in no section."""
LIVE = (
    _MAY_APPEAR
    | _ALONE
    | {f"{section}.{name}" for section, names in _LIVE_SECTIONS.items() for name in names.split()}
)

RESTART: Mapping[str, str] = {
    "vault": "the login to Vault is made at the start",
    "audit.spool": "its folder is locked and its key obtained at the start",
    "tokens.dpop.replay_entries": "the table of proofs is made at the start",
    "listen": "sockets and their limits are opened at the start",
    "headers.reports": "its listener is opened at the start",
    "audit.checkpoints": "what signs them is made at the start",
    "audit.pseudonyms": "no line is written before it is known whether it has pseudonyms",
    "tracing": "the thread that exports spans is made at the start",
    "modules": "the threads that verify bundles are made at the start",
    "limits": "whether anything is counted is decided at the start",
    "on_demand": "whether names are served on demand is said to each Envoy when it connects",
}
_UNKNOWN = "no reload applies it"


class Change(NamedTuple):
    """One setting that differs: its path, its name in the table, and both values as text."""

    path: str
    setting: str
    old: str
    new: str

    @property
    def restart_reason(self) -> str:
        """Why it needs a restart; empty where a reload applies it."""
        return restart_reason(self.setting)

    def __str__(self) -> str:
        """Return it as an operator reads it."""
        return f"{self.path}: {self.old} -> {self.new}"


def restart_reason(setting: str) -> str:
    """Return why a change of a setting needs a restart; empty where a reload applies it."""
    if setting in LIVE:
        return ""
    while setting:
        if setting in RESTART:
            return RESTART[setting]
        setting = setting.removesuffix("[]") if setting.endswith("[]") else _parent(setting)
    return _UNKNOWN


def changes(old: Config, new: Config) -> Iterator[Change]:
    """Yield every setting that differs between two configurations, in the order of the file."""
    yield from _compare("", "", old, new)


def _parent(setting: str) -> str:
    return setting.rpartition(".")[0]


def _compare(path: str, setting: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        dot = "." if path else ""
        for name in old.__struct_fields__:
            below = getattr(old, name), getattr(new, name)
            yield from _compare(f"{path}{dot}{name}", f"{setting}{dot}{name}", *below)
    elif _has_sections(old) or _has_sections(new):
        yield from _compare_lists(path, f"{setting}[]", _as_list(old), _as_list(new))
    else:
        yield Change(path, setting, _shown(old), _shown(new))


def _has_sections(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value)


def _as_list(value: Any) -> tuple[Any, ...]:
    """Return a list of sections; a section alone stands for a list of it."""
    return (value,) if isinstance(value, msgspec.Struct) else value


def _compare_lists(
    path: str, setting: str, old: tuple[Any, ...], new: tuple[Any, ...]
) -> Iterator[Change]:
    """Compare lists of sections by the names of these; in lists of routes the order counts."""
    before, after = _by_name(old), _by_name(new)
    for name in before | after:
        if name not in before or name not in after:
            one, other = (_ABSENT, "added") if name not in before else ("present", "removed")
            yield Change(f"{path}[{name}]", setting, one, other)
        else:
            yield from _compare(f"{path}[{name}]", setting, before[name], after[name])
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield Change(path, setting, "in this order", "in another order")


def _by_name(sections: tuple[Any, ...]) -> dict[str, Any]:
    """Return sections by name; the position tells those of one name apart."""
    named: dict[str, Any] = {}
    for position, section in enumerate(sections):
        name = next((str(getattr(section, each)) for each in _NAMES if hasattr(section, each)), "")
        named[name if name and name not in named else f"{name}#{position}"] = section
    return named


def _shown(value: Any) -> str:
    """Return a value as JSON, cut to length: a configuration holds no secret."""
    if value is None:
        return _ABSENT
    return redact(msgspec.json.encode(value).decode(), _SHOWN)
