"""The rules of modules: what a route that installs them needs, and limits that must agree."""

from collections.abc import Iterator

from sidecar.config.model import Config, RouteSettings
from sidecar.config.problem import Path, Problem

_FORM = "application/x-www-form-urlencoded"
_CHECK_OVERHEAD_BYTES = 131_072
"""What a Check holds beside a body: headers of 60 KB, attributes, a client's certificate."""


def check_modules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the modules and with the routes that install them."""
    for index, route in enumerate(config.routes):
        yield from _module_route(config, ("routes", index, "module"), route)
    yield from _content_types(config)
    modules, limit = config.modules, config.listen.authz.max_message_bytes
    if modules is not None and modules.max_bundle_bytes + _CHECK_OVERHEAD_BYTES > limit:
        yield Problem(
            ("modules", "max_bundle_bytes"),
            f"must stay {_CHECK_OVERHEAD_BYTES} below listen.authz.max_message_bytes, {limit}: "
            "a bundle travels inside that message",
        )


def _content_types(config: Config) -> Iterator[Problem]:
    """Refuse the types of bodies that frameworks take apart before an application sees them."""
    for index, kind in enumerate(config.modules.content_types if config.modules else ()):
        if kind.startswith(("multipart/", "message/")) or kind == _FORM:
            yield Problem(
                ("modules", "content_types", index),
                "is a body that is decoded before it is read: the signature is over other bytes",
            )


def _module_route(config: Config, where: Path, route: RouteSettings) -> Iterator[Problem]:
    if route.module is None:
        return
    if config.modules is None:
        yield Problem(where, "needs the section modules, which says where publishers' keys are")
    elif route.module == "unsigned_by_owner" and not config.modules.owner_roles:
        yield Problem(where, "needs modules.owner_roles: nobody is a Platform Owner without")
    if route.auth != "required":
        yield Problem(where, "needs auth: required; a module is installed by somebody")
    if route.shadow:
        yield Problem(where, "can't be in shadow mode: what does not verify must not be installed")
    if not route.methods or not {"POST", "PUT"}.issuperset(route.methods):
        yield Problem(where, "needs methods: [POST] or [PUT]; no other request brings a bundle")
