"""Rules about the clusters of the sidecar, Envoy's admin port, and TLS."""

from collections.abc import Iterator

from sidecar.config.network import is_loopback
from sidecar.envoy_lint.document import address_of, endpoints, is_on_demand, selects_certificates
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.node import Node

_PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_DEFAULT_LIMITS = {"max_requests": 1024.0, "max_pending_requests": 1024.0}
_DEFAULT_RETRIES = 3.0
_TLS = "tls.v3.UpstreamTlsContext"
_DOWNSTREAM_TLS = "tls.v3.DownstreamTlsContext"
_MODERN = ("TLSv1_2", "TLSv1_3")


def _http2(inspected: Inspected) -> Iterator[Found]:
    for name, cluster in _of_the_sidecar(inspected).items():
        protocols = cluster["typed_extension_protocol_options"][_PROTOCOLS]
        explicit = protocols.at("explicit_http_config", "http2_protocol_options")
        if not explicit and not cluster["http2_protocol_options"]:
            yield cluster, f"cluster {name} does not speak HTTP/2, and gRPC needs it"


def _of_the_sidecar(inspected: Inspected) -> dict[str, Node]:
    return {**inspected.envoy.secret_clusters, **inspected.envoy.check_clusters}


def _absent(inspected: Inspected) -> Iterator[Found]:
    """Yield names of clusters that the document does not have. xDS may bring them."""
    if inspected.envoy.root.at("dynamic_resources", "cds_config"):
        return
    known = inspected.envoy.clusters
    for listener in inspected.envoy.listeners:
        for node in listener.walk():
            name = node.at("envoy_grpc", "cluster_name")
            if name.text and name.text not in known:
                yield name, f"no cluster is called {name.text}"


def _retries(inspected: Inspected) -> Iterator[Found]:
    for name, cluster in inspected.envoy.check_clusters.items():
        limits = _limits(cluster)
        several = len(list(endpoints(cluster))) > 1
        allowed = limits["max_retries"].number
        if several and (_DEFAULT_RETRIES if allowed is None else allowed) < _least(limits):
            said = (
                f"cluster {name} has several endpoints and may repeat only "
                f"{3 if allowed is None else int(allowed)} Checks at a time"
            )
            yield limits, said


def _least(limits: Node) -> float:
    return limits["max_requests"].number or _DEFAULT_LIMITS["max_requests"]


def _breakers(inspected: Inspected) -> Iterator[Found]:
    """Yield breakers that a burst of Checks, or the names of Envoy, would open."""
    for name, cluster in inspected.envoy.check_clusters.items():
        for limit, default in _DEFAULT_LIMITS.items():
            given = _limits(cluster)[limit].number
            if (default if given is None else given) <= default:
                said = (
                    f"cluster {name}: {limit} is {default if given is None else given:.0f}; "
                    "Checks beyond it are denied"
                )
                yield _limits(cluster), said
                break
    names = _names(inspected)
    for name, cluster in inspected.envoy.secret_clusters.items():
        for limit, default in _DEFAULT_LIMITS.items():
            given = _limits(cluster)[limit].number
            has = default if given is None else given
            if has < names:
                yield _limits(cluster), f"cluster {name}: {limit} is {has:.0f}, for {names} names"
                break


def _limits(cluster: Node) -> Node:
    """Return the thresholds of the default priority."""
    found = [
        each
        for each in cluster.at("circuit_breakers", "thresholds").each()
        if each["priority"].text in {"", "DEFAULT"}
    ]
    return found[0] if found else cluster["circuit_breakers"]


def _names(inspected: Inspected) -> int:
    """Return how many secrets Envoy may ask for by streams of their own (SDS, not ADS)."""
    nodes = [node for part in inspected.envoy.listeners for node in part.walk()]
    own_streams = any(is_on_demand(node) and not node["config_source"]["ads"] for node in nodes)
    config = inspected.sidecar
    if config is None or config.on_demand is None or not own_streams:
        return 0
    return config.on_demand.max_names


def _in_the_clear(inspected: Inspected) -> Iterator[Found]:
    for name, cluster in _of_the_sidecar(inspected).items():
        secure = cluster.at("transport_socket", "typed_config").kind.endswith(_TLS)
        for address, node in endpoints(cluster):
            if address and not secure and not is_loopback(address):
                yield node, f"cluster {name} leads to {address} without TLS"


def _admin(inspected: Inspected) -> Iterator[Found]:
    address = address_of(inspected.envoy.admin["address"])
    if address and not is_loopback(address):
        yield inspected.envoy.admin["address"], f"Envoy's admin port listens on {address}"


def _tls(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        if not manager.is_secure:
            continue
        socket = manager.chain.at("transport_socket", "typed_config")
        if not socket.kind.endswith(_DOWNSTREAM_TLS):
            continue
        params = socket.at("common_tls_context", "tls_params")
        lowest = params["tls_minimum_protocol_version"]
        if lowest.text not in _MODERN:
            said = lowest.text or "missing"
            yield lowest or params, f"{manager.name}: the lowest TLS version is {said}"
        elif lowest.text == "TLSv1_2":
            suites = [each.text for each in params["cipher_suites"].each()]
            weak = [each for each in suites if "ECDHE" not in each or _is_weak(each)]
            if not suites or weak:
                what = ", ".join(weak[:3]) or "the cipher suites that Envoy has by default"
                yield params, f"{manager.name}: TLS 1.2 with {what}"


def _is_weak(suite: str) -> bool:
    return not ("GCM" in suite or "CHACHA20" in suite)


def _handshakes(inspected: Inspected) -> Iterator[Found]:
    for listener in inspected.envoy.listeners:
        for chain in (*listener["filter_chains"].each(), listener["default_filter_chain"]):
            socket = chain["transport_socket"]
            if socket and not chain["transport_socket_connect_timeout"].seconds:
                name = listener["name"].text
                yield chain, f"{name}: transport_socket_connect_timeout is missing"


def _resumption(inspected: Inspected) -> Iterator[Found]:
    for listener in inspected.envoy.listeners:
        for chain in (*listener["filter_chains"].each(), listener["default_filter_chain"]):
            socket = chain.at("transport_socket", "typed_config")
            if not any(selects_certificates(node) for node in socket.walk()):
                continue
            for kind in ("stateless", "stateful"):
                name = f"disable_{kind}_session_resumption"
                if not socket[name].is_true:
                    yield socket, f"{listener['name'].text}: {name} is not true"


def _any_name(inspected: Inspected) -> Iterator[Found]:
    for listener in inspected.envoy.listeners:
        on_demand = any(is_on_demand(node) for node in listener.walk())
        if on_demand and not listener["filter_chain_matcher"]:
            yield listener, f"{listener['name'].text}: every server name is asked for as it came"


RULES = (
    Rule(
        "cluster-http2", RuleSeverity.ERROR,
        "Checks and secrets are gRPC: over HTTP/1.1 each of them fails.",
        "typed_extension_protocol_options: {…HttpProtocolOptions: {explicit_http_config: "
        "{http2_protocol_options: {}}}}",
        _http2,
    ),
    Rule(
        "cluster-unknown", RuleSeverity.ERROR,
        "Envoy does not start, or every call to it fails.",
        "Write the cluster's name as it stands under clusters.",
        _absent,
    ),
    Rule(
        "cluster-in-the-clear", RuleSeverity.ERROR,
        "Checks carry access tokens, and SDS private keys: anybody on the way reads them.",
        "Put the sidecar beside Envoy (loopback, a Unix socket), or mutual TLS on the cluster.",
        _in_the_clear,
    ),
    Rule(
        "check-breakers", RuleSeverity.WARNING,
        "Envoy denies what is over a breaker, with 503, while the sidecar has time.",
        "circuit_breakers: {thresholds: [{max_requests: 10000, max_pending_requests: 10000, "
        "max_retries: 10000}]}; above on_demand.max_names for SDS without ADS",
        _breakers,
    ),
    Rule(
        "check-retries", RuleSeverity.WARNING,
        "A worker that dies costs all its Checks but three.",
        "max_retries: 10000 in the thresholds",
        _retries,
    ),
    Rule(
        "admin-open", RuleSeverity.ERROR,
        "A client that reaches Envoy's admin port can stop it, and read its configuration.",
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}",
        _admin,
    ),
    Rule(
        "tls-version", RuleSeverity.ERROR,
        "Connections may be broken or downgraded (SECURITY-MODEL §9: TLS 1.3, 1.2 for old "
        "clients).",
        "tls_minimum_protocol_version: TLSv1_3; TLSv1_2 with ECDHE and AES-GCM or ChaCha20 alone",
        _tls,
    ),
    Rule(
        "handshake-time", RuleSeverity.WARNING,
        "Handshakes that never end, or wait for a certificate, hold connections for ever.",
        "transport_socket_connect_timeout: 10s in the filter chain",
        _handshakes,
    ),
    Rule(
        "on-demand-resumption", RuleSeverity.ERROR,
        "A resumed session skips the choice of a certificate: it goes on with a name that was "
        "withdrawn.",
        "disable_stateless_session_resumption: true, disable_stateful_session_resumption: true",
        _resumption,
    ),
    Rule(
        "on-demand-any-name", RuleSeverity.ERROR,
        "A client's SNI can name any secret of the sidecar's.",
        "Copy filter_chain_matcher from envoy/edge-on-demand.yaml.",
        _any_name,
    ),
)  # fmt: skip
