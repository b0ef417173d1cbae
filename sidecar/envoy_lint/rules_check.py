"""Rules about the filter that asks the sidecar: that it is asked, always, and in time."""

from collections.abc import Iterator

from sidecar.config.envoy_needs import METHOD_NEED, REQUEST_ID_NEED
from sidecar.config.model import AcmeIssuerSettings, Config
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import DECISION_CACHE, Manager, check_settings, is_decision_cache
from sidecar.envoy_lint.node import Node
from sidecar.headers.envoy_check import kept_back

_DEFAULT_SECONDS = 0.2
"""Envoy's time-out of a gRPC service that has none (``ext_authz`` in 1.40)."""
_LONG_SECONDS, _LONG_WITH_BODY_SECONDS = 5.0, 30.0
_CHALLENGE_SECONDS = 5.0
"""What a sidecar may take to ask Vault for a challenge that another one of the fleet set."""
_SUCCESS = frozenset({"OK", "Created", "Accepted", "NoContent", "Continue"})
_DIRECT = 300
_EVERYTHING = 100.0


def _fail_open(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        for check in manager.checks:
            settings = check["typed_config"]
            if settings["failure_mode_allow"].is_true:
                yield settings["failure_mode_allow"], "failure_mode_allow is true"
            code = settings.at("status_on_error", "code")
            number = code.number
            if code.text in _SUCCESS or (number is not None and number < _DIRECT):
                yield code, f"status_on_error answers {code.value} where nobody decides"


def _sampled(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        if manager.check is not None and manager.check["disabled"].is_true:
            yield manager.check["disabled"], "the filter is off unless a route turns it on"
        if settings["filter_enabled_metadata"]:
            if not _is_cached(manager):
                yield settings["filter_enabled_metadata"], "metadata decide whether it is asked"
            yield from _forged(manager, settings.at("filter_enabled_metadata", "filter").text)
        enabled = settings["filter_enabled"]
        if enabled:
            share = _percent(enabled["default_value"])
            if share is None or share < _EVERYTHING:
                yield enabled, "filter_enabled asks for a part of the requests"
            elif enabled["runtime_key"].text:
                yield enabled, "filter_enabled has a runtime key, by which it can be turned off"


def _is_cached(manager: Manager) -> bool:
    """Tell whether those metadata are the decision cache's, which is before the filter."""
    namespace = check_settings(manager).at("filter_enabled_metadata", "filter").text
    return namespace == DECISION_CACHE and any(map(is_decision_cache, manager.before_check))


def _forged(manager: Manager, namespace: str) -> Iterator[Found]:
    """Yield what else writes the metadata that decide, before the filter or in a route."""
    others = [each["typed_config"] for each in manager.before_check if not is_decision_cache(each)]
    for part in (*others, *(level for route in manager.routes() for level in route.levels)):
        for node in part.walk():
            for _, member in node.members():
                if namespace and member.text == namespace:
                    yield member, f"{manager.name}: something besides the module names {namespace}"


def _percent(value: Node) -> float | None:
    """Return a ``FractionalPercent`` in percent."""
    numerator = value["numerator"].number
    whole = {"": 100.0, "HUNDRED": 100.0, "TEN_THOUSAND": 10_000.0, "MILLION": 1_000_000.0}
    base = whole.get(value["denominator"].text)
    return None if numerator is None or base is None else 100.0 * numerator / base


def _service(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        if settings["http_service"]:
            yield settings["http_service"], "it asks over HTTP, which the sidecar does not speak"
        elif settings.at("grpc_service", "google_grpc"):
            yield settings["grpc_service"], "it asks by Google's gRPC client"
        version = settings["transport_api_version"]
        if version.text != "V3":
            said = version.text or "missing, which means V2"
            yield version or settings, f"transport_api_version is {said}"


def _timeouts(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        service = settings["grpc_service"]
        seconds = service["timeout"].seconds
        if seconds is None:
            yield service, f"it has no timeout; Envoy's own is {_DEFAULT_SECONDS} s"
        elif seconds == 0:
            yield service["timeout"], "0s is no end at all: a sidecar that hangs holds requests"
        elif seconds > _LONG_SECONDS:
            said = f"{seconds:g} s: so long every request waits for a sidecar that hangs"
            yield service["timeout"], said
        for route in manager.routes():
            own = _own_service(manager, route.own)
            seconds = own["timeout"].seconds if own else 1.0
            if seconds is None or not 0 < seconds <= _LONG_WITH_BODY_SECONDS:
                yield own, f"a route's own grpc_service has timeout {own['timeout'].value}"


def _own_service(manager: Manager, level: Node) -> Node:
    name = "" if manager.check is None else manager.check["name"].text
    return level[name].at("check_settings", "grpc_service")


def _challenges(inspected: Inspected) -> Iterator[Found]:
    """Yield Checks in the clear that end before the sidecar has asked the fleet."""
    if inspected.sidecar is None or not _uses_http01(inspected.sidecar):
        return
    for manager in inspected.envoy.checked:
        timeout = check_settings(manager).at("grpc_service", "timeout")
        if not manager.is_secure and (timeout.seconds or _DEFAULT_SECONDS) < _CHALLENGE_SECONDS:
            yield timeout, f"{manager.name} gives {timeout.value or 'no time'} for a challenge"


def _uses_http01(config: Config) -> bool:
    return any(
        isinstance(each, AcmeIssuerSettings) and each.challenge == "http-01"
        for each in config.issuers
    )


def _method(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        if any(kept_back(settings.plain(), (METHOD_NEED,))):
            where = settings["allowed_headers"] or settings["disallowed_headers"]
            yield where, f"{METHOD_NEED.header} is kept back"


def _request_id(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        if any(kept_back(settings.plain(), (REQUEST_ID_NEED,))):
            where = settings["allowed_headers"] or settings["disallowed_headers"]
            yield where, f"{manager.name}: {REQUEST_ID_NEED.header} is kept back"
        elif manager.node["generate_request_id"].is_false:
            yield manager.node["generate_request_id"], f"{manager.name}: no request gets an id"


def _mutations(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        rules = settings["decoder_header_mutation_rules"]
        for name in ("disallow_all", "disallow_is_error"):
            if rules[name].is_true:
                yield rules[name], f"decoder_header_mutation_rules: {name} is true"
        for name in ("disallow_expression", "allow_expression"):
            if rules[name]:
                yield rules[name], f"decoder_header_mutation_rules has {name}"


def _validation(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        settings = check_settings(manager)
        if manager.leads_somewhere and not settings["validate_mutations"].is_true:
            yield settings, "validate_mutations is not true"


RULES = (
    Rule(
        "fail-open", RuleSeverity.ERROR,
        "A sidecar that is down, slow or overloaded lets every request through.",
        "failure_mode_allow: false, and status_on_error: {code: ServiceUnavailable}",
        _fail_open,
    ),
    Rule(
        "check-sometimes", RuleSeverity.ERROR,
        "Requests for which the filter is off reach the application unchecked.",
        "Leave out filter_enabled, filter_enabled_metadata and disabled.",
        _sampled,
    ),
    Rule(
        "check-service", RuleSeverity.ERROR,
        "The sidecar speaks the gRPC service envoy.service.auth.v3, and was tried with Envoy's "
        "client.",
        "grpc_service: {envoy_grpc: {cluster_name: …}, timeout: 0.5s}, transport_api_version: V3",
        _service,
    ),
    Rule(
        "check-timeout", RuleSeverity.WARNING,
        "Too short a time denies requests when the machine is busy; without an end they pile up.",
        "timeout: 0.5s in grpc_service; up to 10s on the route that installs modules",
        _timeouts,
    ),
    Rule(
        "challenge-timeout", RuleSeverity.ERROR,
        "The sidecar that a CA meets may not be the one that ordered: it asks Vault, which "
        "takes time.",
        "timeout: 5s in the grpc_service of the listener on port 80",
        _challenges,
    ),
    Rule(
        "method-withheld", RuleSeverity.ERROR,
        "The sidecar denies a request whose method it is not told.",
        'Add {exact: ":method"} to allowed_headers.',
        _method,
    ),
    Rule(
        "request-id-withheld", RuleSeverity.WARNING,
        "A denial and its audit line can't be found by the id that Envoy's log and traces have.",
        "Add {exact: x-request-id} to allowed_headers, and leave generate_request_id on.",
        _request_id,
    ),
    Rule(
        "mutations-refused", RuleSeverity.ERROR,
        "Envoy drops headers that the sidecar sets, or answers 500: tenants get no context.",
        "Leave out decoder_header_mutation_rules.",
        _mutations,
    ),
    Rule(
        "mutations-unvalidated", RuleSeverity.WARNING,
        "Envoy would send on whatever a header of an answer holds.",
        "validate_mutations: true",
        _validation,
    ),
)  # fmt: skip
