"""Rules about what clients can say of themselves, and what others can read of requests."""

import re
from collections.abc import Iterator

from sidecar.config.network import is_loopback
from sidecar.envoy_lint.document import address_of
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import AUTHZ_ROUTE, DISABLING, Manager, check_settings
from sidecar.envoy_lint.node import Node

_FORWARDING = frozenset({"FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY"})
_CREDENTIALS = ("authorization", "cookie", "dpop", "proxy-authorization", "sec-websocket-protocol")
_SECRET = re.compile(
    rf"%(?:REQ|REQUEST_HEADER)\((?:[^)%]*\?)?(?:{'|'.join(_CREDENTIALS)})\b"
    r"|%(?:RESP|RESPONSE_HEADER)\((?:[^)%]*\?)?set-cookie\b",
    re.IGNORECASE,
)
_BODY = "with_request_body"


def _in_the_clear(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        address = address_of(manager.listener["address"])
        leads = manager.leads_somewhere and any(route.clusters for route in manager.routes())
        if leads and address and not manager.is_secure and not is_loopback(address):
            yield manager.listener["address"], f"{manager.name} takes requests on {address}"


def _hops(inspected: Inspected) -> Iterator[Found]:
    """Yield what takes a client's address from what stands before Envoy, or is said to."""
    for manager in inspected.envoy.checked:
        node = manager.node
        hops = node["xff_num_trusted_hops"]
        if hops.number:
            yield hops, f"{manager.name}: xff_num_trusted_hops is {hops.number:.0f}"
        extensions = node["original_ip_detection_extensions"]
        for each in extensions.each():
            yield each, f"{manager.name}: {each['name'].text} says whose address it is"
        for each in manager.listener["listener_filters"].each():
            if each["typed_config"].kind.endswith("proxy_protocol.v3.ProxyProtocol"):
                yield each, f"{manager.name}: the PROXY protocol says whose address it is"


def _certificates(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        details = manager.node["forward_client_cert_details"]
        if details.text in _FORWARDING:
            yield details, f"{manager.name}: forward_client_cert_details is {details.text}"


def _framing(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.managers:
        options = manager.node["http_protocol_options"]
        if options["allow_chunked_length"].is_true:
            yield options["allow_chunked_length"], f"{manager.name}: allow_chunked_length is true"


def _logged(inspected: Inspected) -> Iterator[Found]:
    parts = [inspected.envoy.admin, *(each.node for each in inspected.envoy.managers)]
    parts += inspected.envoy.listeners
    for part in parts:
        for log in part["access_log"].each():
            for node, text in _texts(log):
                if found := _SECRET.search(text):
                    yield node, f"an access log has {found[0].lstrip('%')})"
    yield from _traced(inspected)


def _traced(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.managers:
        for tag in manager.node.at("tracing", "custom_tags").each():
            name = tag.at("request_header", "name")
            if name.text.lower() in _CREDENTIALS:
                yield name, f"{manager.name}: a tag of every span is {name.text.lower()}"


def _texts(node: Node) -> Iterator[tuple[Node, str]]:
    """Yield every text in a message, with where it stands."""
    for each in node.walk():
        for _, member in each.members():
            if member.text:
                yield member, member.text
            yield from ((element, element.text) for element in member.each() if element.text)


def _bodies(inspected: Inspected) -> Iterator[Found]:
    """Yield routes whose requests are held until their body is there, by no word of their own."""
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)[_BODY]
        if not settings or settings["allow_partial_message"].is_true:
            continue
        for route in manager.routes():
            if (
                route.clusters
                and manager.is_checked(route)
                and not _says_of_bodies(manager, route.levels)
            ):
                said = f"{manager.name}: the bodies of a route to {route.clusters[0]} are held"
                yield route.node, said


def _says_of_bodies(manager: Manager, levels: tuple[Node, ...]) -> bool:
    name = "" if manager.check is None else manager.check["name"].text
    for level in levels:
        override = level[name]
        if override.kind.endswith(DISABLING):
            override = override["config"]
        said = override["check_settings"]
        if override.kind.endswith(AUTHZ_ROUTE) and (
            said[_BODY] or said["disable_request_body_buffering"].is_true
        ):
            return True
    return False


RULES = (
    Rule(
        "requests-in-the-clear", RuleSeverity.WARNING,
        "Access tokens and cookies cross the network where anybody on the way can read them.",
        "TLS on the listener (transport_socket), or an address on loopback behind who ends TLS.",
        _in_the_clear,
    ),
    Rule(
        "trusted-hops", RuleSeverity.WARNING,
        "Where fewer proxies stand before Envoy, a client writes the address it is limited by.",
        "As many hops as proxies of yours; nothing, where clients connect to Envoy. If it is so, "
        "--ignore trusted-hops.",
        _hops,
    ),
    Rule(
        "client-certificate-forwarded", RuleSeverity.ERROR,
        "The application believes a certificate that a client wrote into x-forwarded-client-cert.",
        "forward_client_cert_details: SANITIZE_SET, or nothing",
        _certificates,
    ),
    Rule(
        "two-framings", RuleSeverity.ERROR,
        "A request with two lengths is two requests to a server that reads the other one.",
        "Leave out allow_chunked_length.",
        _framing,
    ),
    Rule(
        "secret-logged", RuleSeverity.ERROR,
        "A reader of the log, or of traces, can use the token or the session.",
        "Log tenant, reason and decision_id of ext_authz's metadata, as envoy/edge.yaml does.",
        _logged,
    ),
    Rule(
        "bodies-held", RuleSeverity.WARNING,
        "Envoy keeps every request until all of it is there: uploads over the size get 413, and "
        "streams do not begin.",
        "check_settings: {disable_request_body_buffering: true} on the virtual host, and "
        "with_request_body on the routes that need it",
        _bodies,
    ),
)  # fmt: skip
