"""What a drill orders: every configured certificate from each of its issuers. Pure.

A fallback is an issuer too, and the one that nothing else tries until it is needed.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from sidecar.certificates.issuers.base import Order
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.config.network import in_the_clear


class DrillFault(Fault):
    """The drill can't be made as it was asked for."""


class Acme(StrEnum):
    """What is done with the issuers whose orders count at a public CA."""

    SKIP = "skip"
    STAGING = "staging"
    """Their orders go to another directory."""
    ORDER = "order"


class Rehearsal(NamedTuple):
    """One order of a drill, from one issuer. ``skipped`` says why it is not placed."""

    order: Order
    issuer: str
    skipped: str = ""


_HOSTS_ALONE = ("http-01", "tls-alpn-01")
_NOT_ORDERED = (
    "an order counts at its CA: --acme orders there, --acme-directory URL from a staging CA"
)


def plan_drill(
    config: model.Config, orders: Sequence[tuple[Order, str]], acme: Acme
) -> Iterator[Rehearsal]:
    """Yield what is ordered, for orders with the name of their first issuer."""
    settings = {each.name: each for each in config.issuers}
    for order, name in orders:
        first = settings[name]
        yield Rehearsal(order, name, _why_not(first, order, acme))
        if isinstance(first, model.AcmeIssuerSettings) and first.fallback is not None:
            second = settings[first.fallback]
            yield Rehearsal(order, second.name, _why_not(second, order, acme))


def _why_not(settings: model.IssuerSettings, order: Order, acme: Acme) -> str:
    if not isinstance(settings, model.AcmeIssuerSettings):
        return ""
    if acme is Acme.SKIP:
        return _NOT_ORDERED
    wildcard = any(name.startswith("*.") for name in order.dns_names)
    if order.uri_sans or order.ip_sans or (wildcard and settings.challenge in _HOSTS_ALONE):
        return f"{settings.challenge} can't prove it: its fallback issues it"
    return ""


def with_directory(config: model.Config, directory: str) -> model.Config:
    """Return a configuration whose ACME issuers order from another directory."""
    if not directory.startswith(("https://", "http://")) or in_the_clear(directory):
        raise DrillFault(f"--acme-directory {directory!r} must be https (RFC 8555 §6.1)")
    issuers = tuple(
        msgspec.structs.replace(each, directory=directory)
        if isinstance(each, model.AcmeIssuerSettings)
        else each
        for each in config.issuers
    )
    return msgspec.structs.replace(config, issuers=issuers)


def check_store(config: model.Config, mount: str, path: str) -> None:
    """Refuse a second store that is, holds, or is in a place that the sidecar reads.

    Raises ``DrillFault``.
    """
    for taken in _taken(config, mount):
        if _within(path, taken) or _within(taken, path):
            raise DrillFault(
                f"--store {mount}/{path} touches {mount}/{taken}, which the sidecar reads: "
                "what a drill obtains must not be served"
            )


def _taken(config: model.Config, mount: str) -> Iterator[str]:
    """Yield every path in the mount that the configuration names."""
    found: list[tuple[str, str]] = []
    _collect(config, found)
    yield from (path for at, path in found if at == mount)


def _collect(node: object, found: list[tuple[str, str]]) -> None:
    if isinstance(node, msgspec.Struct):
        mount = getattr(node, "mount", None)
        for field in ("path", "prefix"):
            place = getattr(node, field, None)
            if isinstance(mount, str) and isinstance(place, str):
                found.append((mount, place))
        for name in node.__struct_fields__:
            _collect(getattr(node, name), found)
    elif isinstance(node, tuple):
        for each in node:
            _collect(each, found)


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")


def chosen(
    configured: Sequence[tuple[Order, str]], names: Collection[str]
) -> tuple[list[tuple[Order, str]], list[str]]:
    """Return the orders that were asked for by name (all, without names), and the other names."""
    if not names:
        return list(configured), []
    known = {order.name for order, _ in configured}
    orders = [each for each in configured if each[0].name in names]
    return orders, [name for name in names if name not in known]
