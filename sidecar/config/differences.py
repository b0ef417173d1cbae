"""What differs between two configurations, apart from routes and policies of content.

Both are walked together, entries of lists by their names and not by their places. A table says of
each setting by which access is decided what a change of it does; a setting that is not in the
table decides none. Where nobody can tell (keys are read elsewhere), access is taken to widen.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from sidecar.config.difference import Difference, Effect
from sidecar.config.expected import is_secret
from sidecar.config.limits import RateSettings
from sidecar.config.model import Config, TokenIssuerSettings, Tokens

_IDENTITIES = ("tenant_id", "issuer", "name")
_HANDLED = re.compile(r"routes|headers\.csp\..*|tenants\[\]\.csp")
"""Compared by what they mean: ``authz.route_differences`` and ``differences_csp``."""
_MAX_LISTED = 8
Judge = Callable[[Any, Any], Effect]


def setting_differences(old: Config, new: Config) -> Iterator[Difference]:
    """Yield what differs between two valid configurations."""
    own = _own_settings(old, new)
    yield from _walk(_explicit(old, own), _explicit(new, own), Config, "", "")
    routes = {route.name: route for route in old.routes}
    for route in new.routes:
        if (before := routes.get(route.name)) is not None:
            where = f"routes[{route.name}].limits"
            yield from _walk(before.limits, route.limits, None, where, "routes[].limits")


_OWN = ("max_lifetime_seconds", "leeway_seconds", "require")
"""Settings of an issuer that are those of ``tokens`` where it has none."""


def _own_settings(*configs: Config) -> set[tuple[str, str]]:
    """Return which issuers have settings of their own, before or after."""
    return {
        (issuer.issuer, name)
        for config in configs
        for issuer in config.tokens.issuers
        for name in _OWN
        if getattr(issuer, name) is not None
    }


def _explicit(config: Config, own: set[tuple[str, str]]) -> Config:
    """Return a configuration with the defaults that other settings imply written out."""
    keys, tokens = config.keys, config.tokens
    if keys.dual_key_seconds is None:
        keys = msgspec.structs.replace(keys, dual_key_seconds=tokens.token_seconds)
    issuers = tuple(_explicit_issuer(issuer, tokens, own) for issuer in tokens.issuers)
    tokens = msgspec.structs.replace(tokens, issuers=issuers)
    return msgspec.structs.replace(config, keys=keys, tokens=tokens)


def _explicit_issuer(
    issuer: TokenIssuerSettings, tokens: Tokens, own: set[tuple[str, str]]
) -> TokenIssuerSettings:
    of_all = {
        "max_lifetime_seconds": tokens.max_lifetime_seconds,
        "leeway_seconds": tokens.leeway_seconds,
        "require": tokens.required_of(issuer),
    }
    missing = {
        name: value
        for name, value in of_all.items()
        if getattr(issuer, name) is None and (issuer.issuer, name) in own
    }
    return msgspec.structs.replace(issuer, **missing)


def _walk(old: Any, new: Any, kind: Any, path: str, pattern: str) -> Iterator[Difference]:
    if old == new or _HANDLED.fullmatch(pattern):
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        if isinstance(old, RateSettings) and isinstance(new, RateSettings):
            old, new = _with_bursts(old, new)
        for field in msgspec.structs.fields(old):
            step = f".{field.encode_name}" if path else field.encode_name
            ours, theirs = getattr(old, field.name), getattr(new, field.name)
            yield from _walk(ours, theirs, field.type, path + step, pattern + step)
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from _entries(old, new, kind, path, f"{pattern}.<name>")
    elif isinstance(old, tuple) and any(isinstance(each, msgspec.Struct) for each in (*old, *new)):
        yield from _entries(_named(old), _named(new), kind, path, f"{pattern}[]")
    else:
        yield Difference(_judge(pattern, old, new), path, _words(old, new, kind))


def _with_bursts(old: RateSettings, new: RateSettings) -> tuple[RateSettings, RateSettings]:
    """Return two rates; where one has a burst, that which the other implies is written out."""
    if old.burst == new.burst:
        return old, new
    one, other = (
        msgspec.structs.replace(each, burst=each.burst or each.requests) for each in (old, new)
    )
    return one, other


def _entries(
    old: dict[str, Any], new: dict[str, Any], kind: Any, path: str, pattern: str
) -> Iterator[Difference]:
    """Compare entries by their names."""
    form = "[{}]" if pattern.endswith("[]") else ".{}"
    if _HANDLED.fullmatch(pattern):
        return
    for name in dict.fromkeys((*old, *new)):
        where = path + form.format(name)
        if name not in new:
            yield Difference(_judge(pattern, old[name], None), where, "is removed")
        elif name not in old:
            yield Difference(_judge(pattern, None, new[name]), where, "is added")
        else:
            yield from _walk(old[name], new[name], kind, where, pattern)
    if list(old) != list(new) and old.keys() == new.keys():
        yield Difference(Effect.OTHER, path, "has another order")


def _named(listed: Sequence[Any]) -> dict[str, Any]:
    return {_identity(each, at): each for at, each in enumerate(listed)}


def _identity(entry: Any, at: int) -> str:
    names = (getattr(entry, name, None) for name in _IDENTITIES)
    return next((name for name in names if name is not None), str(at))


def _words(old: Any, new: Any, kind: Any) -> str:
    if is_secret(kind):
        return "is another one (not shown)"
    if isinstance(old, tuple) and isinstance(new, tuple) and set(old) != set(new):
        gained, lost = [e for e in new if e not in old], [e for e in old if e not in new]
        parts = (
            f"gains {_listed(gained)}" if gained else "",
            f"loses {_listed(lost)}" if lost else "",
        )
        return " and ".join(filter(None, parts))
    if isinstance(new, msgspec.Struct) and old is None:
        return "is set"
    if isinstance(old, msgspec.Struct) and new is None:
        return "is no longer set"
    return f"was {_value(old)}, is {_value(new)}"


def _value(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        return f"{config.tag_field} {config.tag}" if config.tag_field else "a section"
    if isinstance(value, tuple):
        return _listed(value) if value else "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _listed(values: Sequence[Any]) -> str:
    more = len(values) - _MAX_LISTED
    shown = ", ".join(map(str, values[:_MAX_LISTED]))
    return f"{shown} and {more} more" if more > 0 else shown


def _more(old: Any, new: Any) -> Effect:
    """Judge a list in which each value allows something."""
    return Effect.WIDENS if set(new or ()) - set(old or ()) else Effect.NARROWS


def _fewer(old: Any, new: Any) -> Effect:
    """Judge a list in which each value forbids something."""
    return _more(new, old)


def _more_or_none(old: Any, new: Any) -> Effect:
    """Judge a list in which each value allows something, and which allows all when empty."""
    if not new:
        return Effect.WIDENS
    return Effect.NARROWS if not old else _more(old, new)


def _higher(old: Any, new: Any) -> Effect:
    return Effect.WIDENS if new > old else Effect.NARROWS


def _lower(old: Any, new: Any) -> Effect:
    return _higher(new, old)


def _added(old: Any, _new: Any) -> Effect:
    """Judge a setting, or an entry, that allows something while it is there."""
    return Effect.WIDENS if old is None else Effect.NARROWS


def _removed_narrows(_old: Any, new: Any) -> Effect:
    """Judge an entry by which somebody is let in: taken away, it narrows; else it widens."""
    return Effect.NARROWS if new is None else Effect.WIDENS


def _removed(old: Any, new: Any) -> Effect:
    """Judge a setting, or an entry, that forbids something while it is there."""
    return _added(new, old)


def _any(_old: Any, _new: Any) -> Effect:
    """Judge a source of what is believed: what it holds is not known here."""
    return Effect.WIDENS


def _towards(*widest: Any) -> Judge:
    """Return the judge of values that are given from the widest to the narrowest."""
    return lambda old, new: (
        Effect.WIDENS if widest.index(new) < widest.index(old) else Effect.NARROWS
    )


_RATE = (
    r"(limits|routes\[\]\.limits|tenants\[\])"
    r"\.(limit|total|tenant|address|token|login\.attempts|login\.account_attempts)"
)
_JUDGES: Sequence[tuple[str, Judge]] = (
    (r"tokens\.issuers\[\]", _added),
    (r"tokens\.issuers\[\]\.audiences", _more),
    (r"tokens\.issuers\[\]\.keys(\..*)?", _any),
    (r"tokens\.issuers\[\]\.(algorithms|types|tolerate_headers)", _more),
    (r"tokens\.issuers\[\]\.(max_lifetime_seconds|leeway_seconds)", _higher),
    (r"tokens\.issuers\[\]\.require", _fewer),
    (r"tokens\.issuers\[\]\.audience_claim", _any),
    (r"tokens\.issuers\[\]\.pii\.allowed", _more),
    (r"tokens\.issuers\[\]\.claims\.tenant\.tenants\.<name>", _removed_narrows),
    (r"tokens\.issuers\[\]\.claims\.tenant\.tenants_from\.poll_seconds", _higher),
    (r"tokens\.issuers\[\]\.claims\.tenant\.any", _towards(True, False)),
    (r"tokens\.issuers\[\]\.claims((\.|\[).*)?", _any),
    (r"tokens\.(max_lifetime_seconds|leeway_seconds)", _higher),
    (r"tokens\.require_nbf", _towards(False, True)),
    (r"tokens\.pii\..*", _towards("off", "warn", "deny")),
    (r"tokens\.dpop\.(algorithms|ports)", _more),
    (r"tokens\.dpop\.(max_age_seconds|leeway_seconds|nonce_seconds)", _higher),
    (r"tokens\.dpop\.nonce", _towards("off", "required")),
    (r"keys\.(dual_key_seconds|max_age_seconds)", _higher),
    (r"keys\.when_degraded", _towards("verify", "refuse")),
    (r"keys\.denied_kids", _fewer),
    (r"keys\.revocations", _removed),
    (r"keys\.revocations\.(path|mount)", _any),
    (r"keys\.revocations\.spread", _towards(False, True)),
    (r"vault\.(address|namespace)", _any),
    (r"tenants\[\]", _removed),
    (r"tenants\[\]\.domain", _any),
    (r"modules", _added),
    (r"modules\.(owner_roles|content_types)", _more),
    (r"modules\.(path|mount)", _any),
    (r"headers\.remove_from_request", _fewer),
    (r"headers\.keep_overrides", _more),
    (r"headers\.cors\.<name>\.(origins|methods|request_headers|expose_headers)", _more),
    (r"headers\.cors\.<name>\.credentials", _towards(True, False)),
    (r"listen\..*\.peer_[ug]ids", _more),
    (r"trust_bundles\[\]\.(peers|spki_pins)", _more_or_none),
    (r"trust_bundles\[\]\.roots(\..*)?", _any),
    (r"limits|limits\.redis|routes\[\]\.limits|routes\[\]\.limits\.login", _removed),
    (_RATE, _removed),
    (_RATE + r"\.(requests|burst)", _higher),
    (_RATE + r"\.per_seconds", _lower),
    (_RATE + r"\.shadow", _towards(True, False)),
    (r"limits\.tenants_from(\..*)?|routes\[\]\.limits\.login\.account_(json|form)", _any),
    (r"on_demand", _added),
    (r"on_demand\.registry(\..*)?", _any),
)
"""By the path of a setting, what a change of it does. Without a row it decides no access."""


def _judge(pattern: str, old: Any, new: Any) -> Effect:
    for form, judge in _JUDGES:
        if re.fullmatch(form, pattern):
            return judge(old, new)
    return Effect.OTHER


def judged_settings() -> Iterator[str]:
    """Yield the forms of the table, for a test that each is the path of a setting."""
    for form, _ in _JUDGES:
        yield form
