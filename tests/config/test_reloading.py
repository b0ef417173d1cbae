"""The table of what is live: every setting is in it, and differences are told by their paths."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
import pytest

from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.config.reloading import LIVE, RESTART, changes, restart_reason
from tests.authz.conftest import CONFIG

SMALL = CONFIG.partition("headers:")[0]


def settings(kind: Any, path: str = "") -> Iterator[str]:
    """Every setting under a type, by the names of the table; that of a section comes first."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if path:
            yield path
        for field in msgspec.structs.fields(kind):
            yield from settings(field.type, f"{path}.{field.name}" if path else field.name)
        return
    structs = [each for each in members(kind) if is_section(each)]
    elements = [get_args(each)[0] for each in members(kind) if get_origin(each) is tuple]
    lists = [each for each in elements if any(map(is_section, members(each)))]
    for each in lists:
        yield from settings(each, f"{path}[]")
    for each in structs:  # alone, or in place of a list of them
        yield from settings(each, path)
    if not structs and not lists:
        yield path


def members(kind: Any) -> list[Any]:
    """The types of a union, without annotations."""
    if type(kind).__name__ == "_AnnotatedAlias":
        return members(kind.__origin__)
    if get_origin(kind) in {tuple, dict} or isinstance(kind, type):
        return [kind]
    found = [member for each in get_args(kind) for member in members(each)]
    return found or [kind]


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


EVERY = sorted(set(settings(Config)))
SECTIONS = {name for name in EVERY if any(f.startswith((f"{name}.", f"{name}[]")) for f in EVERY)}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in SECTIONS])
def test_every_setting_is_in_the_table(name: str) -> None:
    assert restart_reason(name) != "no reload applies it"


def test_the_table_names_no_other_settings() -> None:
    assert set(EVERY) >= LIVE
    assert set(EVERY) >= RESTART.keys() - {each for each in RESTART if f"{each}[]" in EVERY}
    assert LIVE.isdisjoint(RESTART)
    assert {"routes[].roles", "tokens.issuers[].keys.url", "headers.csp"} <= LIVE


def test_a_setting_that_nobody_has_placed_needs_a_restart() -> None:
    assert restart_reason("brand_new") == "no reload applies it"
    assert restart_reason("routes[].brand_new") == "no reload applies it"
    assert restart_reason("vault.brand_new") == RESTART["vault"]
    assert restart_reason("on_demand") == RESTART["on_demand"]
    assert restart_reason("certificates[].brand_new") == "no reload applies it"


ROUTE = "  - {name: api, path_prefix: /api, csp: api}\n"
DIFFERENCES: list[tuple[str, str, str, list[tuple[str, str, str, str]]]] = [
    ("nothing", "", "", []),
    ("a comment", "routes:", "routes: # ours", []),
    ("a setting of a route", "csp: api}", "csp: api, roles: [x]}",
     [("routes[api].roles", "routes[].roles", "[]", '["x"]')]),
    ("a route more", ROUTE, f"{ROUTE}  - {{name: new, path: /new}}\n",
     [("routes[new]", "routes[]", "absent", "added")]),
    ("a route less", ROUTE, "", [("routes[api]", "routes[]", "present", "removed")]),
    ("the order of routes", ROUTE + "  - {name: shell, path_prefix: /shell}\n",
     "  - {name: shell, path_prefix: /shell}\n" + ROUTE,
     [("routes", "routes[]", "in this order", "in another order")]),
    ("a section that appears", "routes:",
     "issuers: [{type: vault_pki, name: i, role: r}]\nroutes:",
     [("issuers[i]", "issuers[]", "absent", "added")]),
    ("another kind of source", "audiences: [",
     "keys: {source: vault_transit, name: k}, audiences: [",
     [("tokens.issuers[https://iam.septemcore.com].keys", "tokens.issuers[].keys", "", "")]),
    ("a value that looks like a credential", "path: /run/vault/token",
     "path: /run/eyJhbGciOiJIUzI1NiJ9.abc",
     [("vault.auth.path", "vault.auth.path", '"/run/vault/token"', '"/run/[redacted]"')]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"), [row[1:] for row in DIFFERENCES], ids=[r[0] for r in DIFFERENCES]
)
def test_differences(old: str, new: str, expected: list[tuple[str, str, str, str]]) -> None:
    text = SMALL + "tenants: []\n"
    assert old in text
    found = list(changes(parse_config(text, "a"), parse_config(text.replace(old, new, 1), "b")))
    for path, setting, before, after in expected:
        (change,) = [each for each in found if each.path == path]
        assert change.setting == setting
        if before:
            assert (change.old, change.new) == (before, after)
        assert str(change) == f"{path}: {change.old} -> {change.new}"
    assert bool(found) == bool(expected)
