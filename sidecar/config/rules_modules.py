"""The rules of modules: what a route that installs them needs, and limits that must agree."""

from collections.abc import Iterator

from sidecar.config.model import Config, RouteSettings
from sidecar.config.problem import Path, Problem

_FORM = "application/x-www-form-urlencoded"
_CHECK_OVERHEAD_BYTES = 131_072
"""The rest of a Check besides the body: headers of 60 KB, attributes, a certificate."""


def check_modules(config: Config) -> Iterator[Problem]:
    """Yield the problems of the modules and of the routes that install them."""
    for index, route in enumerate(config.routes):
        yield from _module_route(config, ("routes", index, "module"), route)
    yield from _content_types(config)
    modules, limit = config.modules, config.listen.authz.max_message_bytes
    if modules is not None and modules.max_bundle_bytes + _CHECK_OVERHEAD_BYTES > limit:
        yield Problem(
            ("modules", "max_bundle_bytes"),
            f"must stay {_CHECK_OVERHEAD_BYTES} below listen.authz.max_message_bytes, {limit}: "
            "a bundle is part of that message",
        )


def _content_types(config: Config) -> Iterator[Problem]:
    """Yield content types that frameworks decode before the application reads the body."""
    for index, kind in enumerate(config.modules.content_types if config.modules else ()):
        if kind.startswith(("multipart/", "message/")) or kind == _FORM:
            yield Problem(
                ("modules", "content_types", index),
                "is decoded by frameworks: the application would read other bytes than were signed",
            )


def _module_route(config: Config, where: Path, route: RouteSettings) -> Iterator[Problem]:
    if route.module is None:
        return
    if config.modules is None:
        yield Problem(where, "needs the section modules, which says where publishers' keys are")
    elif route.module == "unsigned_by_owner" and not config.modules.owner_roles:
        yield Problem(where, "needs modules.owner_roles, the roles of a Platform Owner")
    if route.auth != "required":
        yield Problem(where, "needs auth: required; a module is installed by an authenticated user")
    if route.shadow:
        yield Problem(
            where, "can't be in shadow mode: a bundle that fails verification must not be installed"
        )
    if not route.methods or not {"POST", "PUT"}.issuperset(route.methods):
        yield Problem(where, "needs methods: [POST] or [PUT]; no other request has a bundle")
