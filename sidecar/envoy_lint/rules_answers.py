"""Rules about answers: security headers on every one, and denials as the sidecar wrote them."""

from collections.abc import Iterator

from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.node import Node

_ALWAYS = ("content-security-policy", "x-content-type-options")
_OVER_TLS = ("strict-transport-security", *_ALWAYS)


def _security_headers(inspected: Inspected) -> Iterator[Found]:
    """Yield the security headers that Envoy's own replies lack."""
    for manager in inspected.envoy.checked:
        filters = manager.filters
        first = filters[0] if filters else Node(None)
        appended = {
            each.at("append", "header", "key").text.lower()
            for each in first.at("typed_config", "mutations", "response_mutations").each()
        }
        wanted = _OVER_TLS if manager.is_secure else _ALWAYS
        if manager.is_between_services:
            continue  # no browser
        if missing := [name for name in wanted if name not in appended]:
            said = (
                f"{manager.name}: the first filter does not set {', '.join(missing)}: replies of "
                "Envoy's own go without"
            )
            yield first, said


def _replaced(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        config = manager.node["local_reply_config"]
        if config["body_format"]:
            yield (
                config["body_format"],
                (f"{manager.name}: local_reply_config.body_format replaces the sidecar's denials"),
            )
        for mapper in config["mappers"].each():
            replaces = mapper["body_format_override"] or mapper["body"] or mapper["status_code"]
            if replaces and _takes_denials(mapper["filter"]):
                yield mapper, f"{manager.name}: a mapper replaces the sidecar's denials"


def _takes_denials(filter_: Node) -> bool:
    """Tell whether a mapper's filter is by the status alone, as a denial's is too."""
    inner = [*filter_.at("and_filter", "filters").each()] or [filter_]
    return all(each["status_code_filter"] for each in inner)


def _legacy_append(inspected: Inspected) -> Iterator[Found]:
    for part in (*inspected.envoy.listeners, *_route_configs(inspected)):
        for node in part.walk():
            if node["header"]["key"].text and node["append"].value is not None:
                said = (
                    f"append: {str(node['append'].is_true).lower()} of {node['header']['key'].text}"
                )
                yield node["append"], f"{said} is the old form, which header_mutation does not take"


def _route_configs(inspected: Inspected) -> Iterator[Node]:
    for manager in inspected.envoy.managers:
        yield from manager.route_configs


def _cors(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        for part in manager.route_configs:
            for node in part.walk():
                if node.kind.endswith("cors.v3.CorsPolicy") or (
                    node["allow_origin_string_match"] or node["allow_credentials"]
                ):
                    yield node, f"{manager.name}: a CORS policy of Envoy's own"


RULES = (
    Rule(
        "security-headers", RuleSeverity.ERROR,
        "A browser gets Envoy's own errors, and the sidecar's absence, without policy and HSTS.",
        "Set them in the first header_mutation, as envoy/edge.yaml does.",
        _security_headers,
    ),
    Rule(
        "denial-replaced", RuleSeverity.ERROR,
        "A denial is a local reply too: clients lose the reason, its id and its status.",
        "Give the mapper the metadata_filter on title of envoy/edge.yaml.",
        _replaced,
    ),
    Rule(
        "legacy-append", RuleSeverity.WARNING,
        "Envoy has taken the field back; whether a header is added or replaced depends on the "
        "place.",
        "append_action: OVERWRITE_IF_EXISTS_OR_ADD, ADD_IF_ABSENT or APPEND_IF_EXISTS_OR_ADD",
        _legacy_append,
    ),
    Rule(
        "cors-twice", RuleSeverity.WARNING,
        "Two sets of rules answer preflights: the sidecar's `headers.cors` and Envoy's.",
        "Leave CORS to the sidecar (headers.cors, routes[].cors).",
        _cors,
    ),
)  # fmt: skip
