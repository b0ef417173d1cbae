"""The rules that span settings: names that must exist, addresses that must differ."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from sidecar.config.endpoints import check_endpoints, other_listeners
from sidecar.config.model import (
    AcmeIssuerSettings,
    Config,
    VaultKvIssuer,
    VaultPkiIssuer,
)
from sidecar.config.network import LAST_PORT, in_the_clear, is_address, is_loopback, share_a_port
from sidecar.config.on_demand import HttpRegistry
from sidecar.config.problem import Path, Problem
from sidecar.config.rules_audit import check_audit
from sidecar.config.rules_certificates import check_certificates
from sidecar.config.rules_decision_cache import check_decision_cache
from sidecar.config.rules_headers import check_headers
from sidecar.config.rules_keys import check_keys
from sidecar.config.rules_limits import check_limits
from sidecar.config.rules_metrics import check_metrics
from sidecar.config.rules_modules import check_modules
from sidecar.config.rules_peers import check_peers
from sidecar.config.rules_reports import check_reports
from sidecar.config.rules_routes import check_routes
from sidecar.config.rules_sds import check_sds
from sidecar.config.rules_texts import socket_problems
from sidecar.config.rules_tokens import check_token_issuers
from sidecar.config.secrets import GenericSecret, SessionTicketKeys, TrustBundle

_GUARDED = ".d/s"
"""What ``transport.guard`` appends to the path of the socket that it guards."""


def cross_check(config: Config) -> Iterator[Problem]:
    """Yield the broken rules of a configuration whose single settings are all valid."""
    yield from _listeners(config)
    yield from check_sds(config)
    yield from check_metrics(config)
    yield from check_peers(config)
    yield from check_reports(config)
    yield from _workers(config)
    yield from check_decision_cache(config)
    yield from _vault(config)
    yield from _issuers(config)
    yield from check_keys(config)
    yield from check_token_issuers(config)
    yield from check_routes(config)
    yield from check_modules(config)
    yield from check_limits(config)
    yield from check_audit(config)
    yield from check_headers(config)
    yield from _certificates(config)
    yield from check_certificates(config)
    yield from _secrets(config)
    yield from _on_demand(config)
    yield from _unique("tenant", (("tenants",), (t.tenant_id for t in config.tenants)))
    yield from _unique("domain", (("tenants",), (t.domain for t in config.tenants)))


def _listeners(config: Config) -> Iterator[Problem]:
    listen = config.listen
    sockets = {"authz": listen.authz.address, **other_listeners(listen)}
    for name, address in sockets.items():
        port = address.rpartition(":")[2]
        if not address.startswith("unix:") and int(port) > LAST_PORT:
            yield Problem(("listen", name, "address"), f"must have a port of at most {LAST_PORT}")
        others = [
            other
            for other, taken in sockets.items()
            if other != name and (taken == address or share_a_port(taken, address))
        ]
        if others and not address.endswith(":0"):
            yield Problem(("listen", name, "address"), f"is also that of listen.{others[0]}")
    yield from _socket_paths(config)
    admin = listen.admin.address
    if not is_loopback(admin):
        yield Problem(
            ("listen", "admin", "address"),
            "must be on loopback or a Unix socket: metrics and health have no authentication",
        )
    served = ("certificates", "trust_bundles", "session_ticket_keys", "generic_secrets")
    if listen.sds is None and (needed := [each for each in served if getattr(config, each)]):
        sections = " and ".join(needed).replace("_", " ")
        yield Problem(("listen", "sds"), f"is missing, and {sections} need it to be served")


def _socket_paths(config: Config) -> Iterator[Problem]:
    """Check the Unix sockets to whose paths the sidecar appends something."""
    listen = config.listen
    if listen.sds is not None and listen.sds.address.startswith("unix:"):
        why = f" here, where {_GUARDED} is appended for the server behind its guard"
        where: Path = ("listen", "sds", "address")
        yield from socket_problems(listen.sds.address, where, len(_GUARDED), why)
    if listen.authz.address.startswith("unix:"):
        longest = max(check_endpoints(listen.authz), key=len)
        why = " with the number of a worker in it"
        yield from socket_problems(longest, ("listen", "authz", "address"), 0, why)


def _workers(config: Config) -> Iterator[Problem]:
    """Check the endpoints of several workers against the other listeners."""
    listen = config.listen
    if listen.authz.workers == 1:
        return
    if listen.authz.engine != "h2":
        yield Problem(("listen", "authz", "engine"), "must be h2 where there are several workers")
    endpoints = check_endpoints(listen.authz)
    if listen.authz.address.startswith("unix:"):
        clashes: Callable[[str, str], bool] = str.__eq__
    else:
        clashes = share_a_port
        if listen.authz.address.endswith(":0"):
            yield Problem(
                ("listen", "authz", "address"),
                "needs a port: the workers use it and the ports after it",
            )
            return
        if int(endpoints[-1].rpartition(":")[2]) > LAST_PORT:
            yield Problem(("listen", "authz", "workers"), f"need the ports up to {endpoints[-1]}")
    for name, address in other_listeners(listen).items():
        for number, endpoint in enumerate(endpoints):
            if clashes(endpoint, address):
                what = f"number {number} would listen on {endpoint}, which is listen.{name}"
                yield Problem(("listen", "authz", "workers"), what)


def _vault(config: Config) -> Iterator[Problem]:
    if in_the_clear(config.vault.address):
        yield Problem(("vault", "address"), "must be https: secrets would cross the network")
    tracing = config.tracing
    if tracing is not None and in_the_clear(tracing.url):
        yield Problem(
            ("tracing", "url"), "must be https: spans and secrets would cross the network"
        )
    webhook = config.alerts.webhook
    if webhook is not None and in_the_clear(webhook.url):
        yield Problem(("alerts", "webhook", "url"), "must be https: alerts would cross the network")


def _issuers(config: Config) -> Iterator[Problem]:
    issuers = (issuer.issuer for issuer in config.tokens.issuers)
    yield from _unique("issuer", (("tokens", "issuers"), issuers))


def _secrets(config: Config) -> Iterator[Problem]:
    """Yield names that are used twice: Envoy asks by name for secrets of all kinds."""
    certificates = [certificate.name for certificate in config.certificates]
    taken = set(certificates)
    others: dict[str, Sequence[TrustBundle | SessionTicketKeys | GenericSecret]] = {
        "trust_bundles": config.trust_bundles,
        "session_ticket_keys": config.session_ticket_keys,
        "generic_secrets": config.generic_secrets,
    }
    for section, listed in others.items():
        for index, each in enumerate(listed):
            if each.name in taken:
                yield Problem((section, index, "name"), "is already the name of another secret")
            taken.add(each.name)
    for index, keys in enumerate(config.session_ticket_keys):
        if keys.rotate_seconds < 5 * keys.poll_seconds:
            yield Problem(
                ("session_ticket_keys", index, "rotate_seconds"),
                "must be five times poll_seconds or more: every sidecar reads a key before its use",
            )


def _certificates(config: Config) -> Iterator[Problem]:
    names = (certificate.name for certificate in config.certificates)
    yield from _unique("certificate name", (("certificates",), names))
    issuers = [issuer.name for issuer in config.issuers]
    yield from _unique("issuer", (("issuers",), issuers))
    yield from _issuers_of_certificates(config)
    for index, certificate in enumerate(config.certificates):
        if certificate.common_name is None and certificate.alt_names:
            yield Problem(("certificates", index), "has alt_names without a common_name")
        yield from _names_of_certificate(config, index)
        if certificate.issuer not in issuers:
            known = ", ".join(sorted(issuers)) or "none"
            where = ("certificates", index, "issuer")
            yield Problem(where, f"is not the name of an entry of issuers; there are: {known}")


def _names_of_certificate(config: Config, index: int) -> Iterator[Problem]:
    """Yield the names of a certificate that its issuer can't certify."""
    certificate = config.certificates[index]
    where: Path = ("certificates", index)
    named: list[tuple[Path, str]] = [
        ((*where, "alt_names", at), name) for at, name in enumerate(certificate.alt_names)
    ]
    if certificate.common_name is not None:
        named.insert(0, ((*where, "common_name"), certificate.common_name))
    issuer = next((each for each in config.issuers if each.name == certificate.issuer), None)
    for path, name in named:
        if is_address(name):
            yield Problem(
                path,
                f"{name} is an IP address, and no host name: write it under ip_addresses",
            )
        elif name == "*":
            yield Problem(path, "* alone can't be certified: write *.suffix, like *.example.com")
        elif (
            name.startswith("*.")
            and isinstance(issuer, AcmeIssuerSettings)
            and issuer.connects_to_edge
            and issuer.fallback is None
        ):
            yield Problem(
                path,
                f"{name} is a wildcard, which {issuer.challenge} can't prove (RFC 8555 §8.3): "
                "set challenge: dns-01, list the host names, or give the issuer a fallback of "
                "type vault_pki",
            )


def _on_demand(config: Config) -> Iterator[Problem]:
    settings = config.on_demand
    if settings is None:
        return
    if config.listen.sds is None:
        yield Problem(("listen", "sds"), "is missing, and on_demand needs it to serve certificates")
    issuers = sorted(issuer.name for issuer in config.issuers)
    if settings.issuer not in issuers:
        known = ", ".join(issuers) or "none"
        yield Problem(
            ("on_demand", "issuer"), f"is not the name of an entry of issuers; there are: {known}"
        )
    if settings.max_retry_seconds < settings.retry_seconds:
        yield Problem(("on_demand", "max_retry_seconds"), "is less than retry_seconds")
    for section in ("trust_bundles", "session_ticket_keys", "generic_secrets"):
        for index, secret in enumerate(getattr(config, section)):
            if "." in secret.name:
                yield Problem(
                    (section, index, "name"),
                    "must have no dot: with on_demand, a client could ask for it as a host name",
                )
    registry = settings.registry
    if isinstance(registry, HttpRegistry) and in_the_clear(registry.url):
        yield Problem(
            ("on_demand", "registry", "url"),
            "must be https: an altered answer would decide which names get certificates",
        )


def _issuers_of_certificates(config: Config) -> Iterator[Problem]:
    by_name = {issuer.name: issuer for issuer in config.issuers}
    for index, issuer in enumerate(config.issuers):
        where: Path = ("issuers", index)
        shares = isinstance(issuer, AcmeIssuerSettings) or (
            isinstance(issuer, VaultPkiIssuer) and issuer.share
        )
        if shares and config.certificate_store is None:
            yield Problem(where, "needs certificate_store, where the fleet stores its certificates")
        if not isinstance(issuer, AcmeIssuerSettings):
            continue
        if not issuer.agree_to_terms:
            yield Problem((*where, "agree_to_terms"), "must be true: the CA requires it")
        if in_the_clear(issuer.directory):
            yield Problem((*where, "directory"), "must be https (RFC 8555 §6.1)")
        if issuer.fallback is not None:
            second = by_name.get(issuer.fallback)
            if second is None or second is issuer:
                yield Problem((*where, "fallback"), "is not the name of another entry of issuers")
            elif isinstance(second, VaultKvIssuer):
                yield Problem((*where, "fallback"), "must be a CA: acme or vault_pki")


def _unique(what: str, listed: tuple[Path, Iterable[str]]) -> Iterator[Problem]:
    path, names = listed
    for name, times in Counter(names).items():
        if times > 1:
            yield Problem(path, f"the {what} {name!r} is used {times} times")
