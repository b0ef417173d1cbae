"""Envoy's whole file for a configuration of the sidecar: which parts it has, and their values."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sidecar.authz.snapshot import compile_routes
from sidecar.cli.config_envoy import removal
from sidecar.cli.envoy_routes import body_bytes, route_lines
from sidecar.cli.envoy_template import fill
from sidecar.common.errors import Fault
from sidecar.config.endpoints import check_endpoints
from sidecar.config.envoy_needs import REQUEST_ID_NEED, certificate_routes, needed_headers
from sidecar.config.model import AcmeIssuerSettings, Config, ManagedTls
from sidecar.config.network import is_address, reachable
from sidecar.config.shown import scalar
from sidecar.headers.envoy_patterns import REQUEST_TRAILERS, RESPONSE_TRAILERS, request_names
from sidecar.headers.tenant import TRUSTED
from sidecar.transport.sockets import path_of, split_address

_MUTATION = 26
"""The indentation of one mutation in the template."""
_WORKER_TRY, _WORKER_MODULE_TRY, _TRY = "0.2s", "3s", "10s"
"""The time-out of each try: with several workers it ends early, so that another is asked."""
_PREVIOUS_HOSTS = (
    "retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: "
    '{"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3'
    ".PreviousHostsPredicate}}], host_selection_retry_max_attempts: 5"
)


class EnvoyChoices(NamedTuple):
    """What the sidecar's configuration does not say of its Envoy.

    The files are for a sidecar that serves no certificates; ``certificate`` and ``trust_bundle``
    are names in its configuration, empty for the only one.
    """

    application: str
    listen: str
    http_port: int
    https_port: int
    public_port: int
    admin_port: int
    certificate: str = ""
    trust_bundle: str = ""
    certificate_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""


def envoy_text(config: Config, choices: EnvoyChoices, name: str) -> str:
    """Return the file; ``name`` is the configuration's, for a comment. Raises ``Fault``."""
    parts = frozenset(_parts(config))
    _refuse_what_does_not_fit(config, parts)
    routes = compile_routes(config)
    values = {
        **dict.fromkeys(("1", "1M", "2", "4", "5", "6"), ""),
        **removals(config.headers.remove_from_request, config.headers.keep_overrides),
        **addresses(config, choices),
        **_tls(config, choices, parts),
        **_checks(config),
        **_headers(config),
        "CONFIG": scalar(name),
        "TOKEN_SECONDS": scalar(_longest_token(config)),
        "ROUTES": "\n".join(route_lines(config, routes, _retries(config, _WORKER_MODULE_TRY))),
        "BODY_BYTES": str(max((body_bytes(config, each) for each in routes), default=0)),
        "ALLOWED": "\n".join(
            f'{" " * 26}- {{exact: "{need.header}"}}'
            for need in (*needed_headers(config), REQUEST_ID_NEED)
        ),
    }
    return fill(parts, values)


def _parts(config: Config) -> Iterator[str]:
    listen = config.listen
    challenges = {each.challenge for each in config.issuers if isinstance(each, AcmeIssuerSettings)}
    resumes = config.on_demand is None and not certificate_routes(config)
    wanted = {
        "sds": listen.sds is not None,
        "acme": "http-01" in challenges,
        "tls_alpn": "tls-alpn-01" in challenges,
        "on_demand": config.on_demand is not None,
        "clients": bool(certificate_routes(config)),
        "tickets": bool(config.session_ticket_keys) and resumes,
        "decision_cache": listen.authz.decision_cache is not None,
        "embedder": config.headers.cross_origin_embedder_policy is not None,
        "bodies": any(body_bytes(config, each) for each in compile_routes(config)),
        "reports": config.headers.reports is not None,
        "workers": listen.authz.workers > 1,
    }
    return (name for name, is_wanted in wanted.items() if is_wanted)


def _refuse_what_does_not_fit(config: Config, parts: frozenset[str]) -> None:
    """Raise ``Fault`` for what one Envoy beside the sidecar can't be."""
    sds = config.listen.sds
    if sds is not None and sds.mtls is not None:
        raise Fault(
            "listen.sds.mtls: every Envoy must show a certificate there, also the one on this "
            "machine, and where that comes from is not in this file: see docs/remote-sds.md, and "
            "`sidecar config init --sds-peer`, which writes the files of such an Envoy"
        )
    if {"on_demand", "tls_alpn"} <= parts:
        raise Fault(
            "issuers[].challenge is tls-alpn-01, and on_demand chooses filter chains by name: use "
            "http-01 or dns-01 there (docs/certificates.md)"
        )
    if any(address.endswith(":0") for address in check_endpoints(config.listen.authz)):
        raise Fault("listen.authz.address has port 0: give it a port, which Envoy can be told")


def _tls(config: Config, choices: EnvoyChoices, parts: frozenset[str]) -> dict[str, str]:
    """Return the values of certificates: by SDS, or by files where the sidecar serves none."""
    values = {"SDS_ANCHOR": "", "SDS_SOURCE": "*ads" if "on_demand" in parts else "*sds"}
    if "tickets" in parts:
        values["TICKETS"] = scalar(config.session_ticket_keys[0].name)
    if "clients" in parts:
        always = all(route.reads_certificate for route in config.routes)
        values["REQUIRE_CLIENT"] = scalar(always)
    if "sds" in parts:
        values["CERTIFICATE"] = scalar(_certificate(config, choices.certificate))
        if "clients" in parts:
            values["TRUST_BUNDLE"] = scalar(_trust_bundle(config, choices.trust_bundle))
        if {"clients", "tickets"} & parts and "on_demand" not in parts:
            values["SDS_ANCHOR"] = " &sds"
        return values
    if not (choices.certificate_file and choices.key_file):
        raise Fault(
            "listen.sds is missing, so Envoy's certificate comes from files: give "
            "--certificate-file and --key-file, or have the sidecar serve it (listen.sds, "
            "certificates)"
        )
    values["CERTIFICATE_FILE"] = scalar(choices.certificate_file)
    values["KEY_FILE"] = scalar(choices.key_file)
    if "clients" in parts:
        if not choices.client_ca_file:
            raise Fault(
                "routes ask for client certificates, and without listen.sds their CAs come from "
                "a file: give --client-ca-file"
            )
        values["CLIENT_CA_FILE"] = scalar(choices.client_ca_file)
    return values


def _certificate(config: Config, wanted: str) -> str:
    """Return the certificate of the listener. Raises ``Fault``."""
    own = _own_names(config)
    names = [each.name for each in config.certificates if wanted or each.name not in own]
    return _one_of("certificates", "--certificate", names, wanted)


def _trust_bundle(config: Config, wanted: str) -> str:
    """Return the trust bundle of clients. Raises ``Fault``."""
    own = _own_names(config)
    names = [each.name for each in config.trust_bundles if wanted or each.name not in own]
    return _one_of("trust_bundles", "--trust-bundle", names, wanted)


def _own_names(config: Config) -> frozenset[str]:
    """Return the names that a listener of the sidecar's own uses."""
    metrics = config.listen.metrics
    if metrics is None or not isinstance(metrics.tls, ManagedTls):
        return frozenset()
    return frozenset({metrics.tls.certificate, metrics.tls.trust_bundle})


def _one_of(section: str, option: str, names: list[str], wanted: str) -> str:
    if wanted:
        if wanted not in names:
            raise Fault(f"{option} {wanted!r} is none of {section}: {', '.join(names) or 'none'}")
        return wanted
    if not names:
        raise Fault(f"{section} is empty in the configuration, and Envoy's listener needs one")
    if len(names) > 1:
        raise Fault(f"which of {section} is the listener's? {option} with {', '.join(names)}")
    return names[0]


def addresses(config: Config, choices: EnvoyChoices) -> dict[str, str]:
    """Return the values of where Envoy listens, and where it asks and leads to."""
    listen = config.listen
    authz = [reachable(each) for each in check_endpoints(listen.authz)]
    sds = reachable(listen.sds.address) if listen.sds is not None else ""
    reports = reachable(listen.reports.address) if listen.reports is not None else ""
    cache = listen.authz.decision_cache
    return {
        "LISTEN": scalar(choices.listen),
        "HTTP_PORT": str(choices.http_port),
        "HTTPS_PORT": str(choices.https_port),
        "PUBLIC_PORT": str(choices.public_port),
        "ENVOY_ADMIN_PORT": str(choices.admin_port),
        "APPLICATION_TYPE": _cluster_type(choices.application),
        "APPLICATION": endpoint(choices.application),
        "AUTHZ_TYPE": _cluster_type(authz[0]),
        "AUTHZ": "\n".join(map(endpoint, authz)),
        "SDS_TYPE": _cluster_type(sds),
        "SDS": endpoint(sds) if sds else "",
        "REPORTS": endpoint(reports) if reports else "",
        "CACHE_SOCKET": str(cache.socket) if cache is not None else "",
    }


def _checks(config: Config) -> dict[str, str]:
    return {"TRY": _TRY, "ASK_AGAIN": _retries(config, _WORKER_TRY)}


def _retries(config: Config, worker_try: str) -> str:
    """Return the retry policy of a Check, which has no effects: a flow mapping."""
    several = config.listen.authz.workers > 1
    others = f", {_PREVIOUS_HOSTS}" if several else ""
    return (
        "{retry_on: 'connect-failure,refused-stream,reset,unavailable', num_retries: 2, "
        f"retry_back_off: {{base_interval: 0.005s, max_interval: {worker_try if several else _TRY}"
        f"}}{others}}}"
    )


def _headers(config: Config) -> dict[str, str]:
    """Return what replies of Envoy's own say, where no Check said otherwise."""
    headers = config.headers
    return {
        "HSTS": scalar(headers.hsts),
        "REFERRER": scalar(headers.referrer_policy),
        "PERMISSIONS": scalar(headers.permissions_policy),
        "OPENER": scalar(headers.cross_origin_opener_policy),
        "RESOURCE": scalar(headers.cross_origin_resource_policy),
        "EMBEDDER": scalar(headers.cross_origin_embedder_policy),
        "AGENT_CLUSTER": '"?1"' if headers.origin_agent_cluster else '"?0"',
    }


def _longest_token(config: Config) -> float:
    own = (each.max_lifetime_seconds for each in config.tokens.issuers)
    everywhere = config.tokens.max_lifetime_seconds
    return max((everywhere if each is None else each for each in own), default=everywhere)


def _cluster_type(address: str) -> str:
    return "STRICT_DNS" if _is_named(address) else "STATIC"


def _is_named(address: str) -> bool:
    """Tell whether an address has a host name that must be looked up."""
    if not address or path_of(address) is not None:
        return False
    host, _ = split_address(address)
    return host != "localhost" and not is_address(host)


def endpoint(address: str) -> str:
    """Return one endpoint of a cluster."""
    path = path_of(address)
    if path is not None:
        return f"{' ' * 14}- endpoint: {{address: {{pipe: {{path: {scalar(str(path))}}}}}}}"
    host, port = split_address(address)
    shown: Any = "127.0.0.1" if host == "localhost" else host
    socket = f"{{address: {scalar(shown)}, port_value: {port}}}"
    return f"{' ' * 14}- endpoint: {{address: {{socket_address: {socket}}}}}"


def removals(also: tuple[str, ...], kept: tuple[str, ...]) -> dict[str, str]:
    """Return what removes names: ``also`` these, and all override headers but ``kept``."""
    pad = " " * _MUTATION
    return {
        "TRUSTED": "\n".join(f"{pad}- remove: {name}" for name in (*TRUSTED, *also)),
        "REQUEST_NAMES": _pattern(request_names(kept)),
        "REQUEST_TRAILERS": _pattern(REQUEST_TRAILERS),
        "RESPONSE_TRAILERS": _pattern(RESPONSE_TRAILERS),
    }


def _pattern(pattern: str) -> str:
    """Return the lines of a mutation below its first, ``remove_on_match:``."""
    _, *lines = removal(_MUTATION, pattern)
    return "\n".join(lines)
