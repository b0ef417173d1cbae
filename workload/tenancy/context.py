"""For whom this code runs: one context variable, inherited by tasks and by nothing else.

A task that is made inside copies it, a thread does not: ``asyncio.to_thread`` carries it over,
``threading.Thread`` and a pool of threads start without a tenant, and so are refused by the
database's guards.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import NamedTuple, TypeVar

from workload.errors import Fault

_audit = logging.getLogger("workload.tenancy.audit")
_MIN_REASON = 8
_MAX_REASON = 200
Item = TypeVar("Item")


class TenancyFault(Fault):
    """What an application asked for would run without its tenant, or as another one."""


class TenantUnknown(TenancyFault):
    """There is no tenant here, and nobody said that there should be none."""


class TenantContext(NamedTuple):
    """The tenant and user of a request, as the edge verified them."""

    tenant_id: str
    user_id: str = ""
    roles: tuple[str, ...] = ()
    token_id: str = ""


class WithoutTenant(NamedTuple):
    """Code that runs for no tenant on purpose; protected tables are empty to it."""

    reason: str


Scope = TenantContext | WithoutTenant
_scope: ContextVar[Scope | None] = ContextVar("septem_tenant", default=None)


def current_scope() -> Scope:
    """Return for whom this code runs. Raises ``TenantUnknown``."""
    scope = _scope.get()
    if scope is None:
        raise TenantUnknown(
            "no tenant is known here: put the tenancy middleware before this code, run a job "
            "inside tenant(...), or what is no tenant's inside without_tenant(reason)"
        )
    return scope


def current_tenant() -> TenantContext:
    """Return the tenant of this code. Raises ``TenantUnknown``, inside ``without_tenant`` too."""
    scope = current_scope()
    if isinstance(scope, WithoutTenant):
        raise TenantUnknown(f"this runs without a tenant on purpose: {scope.reason}")
    return scope


@contextmanager
def tenant(context: TenantContext) -> Iterator[TenantContext]:
    """Run the block for a tenant: what the middleware does, and what a job does for each."""
    if not context.tenant_id:
        raise TenantUnknown("a tenant needs an identifier, and this one is empty")
    token = _scope.set(context)
    try:
        yield context
    finally:
        _scope.reset(token)


@contextmanager
def without_tenant(reason: str) -> Iterator[None]:
    """Run the block for no tenant, with a line in the log ``workload.tenancy.audit``.

    For migrations, health checks and tables that belong to nobody. It opens nothing: in a
    protected table no row is seen and none can be written. ``reason`` has 8 to 200 printable
    characters; another one raises ``ValueError``.
    """
    if not (_MIN_REASON <= len(reason) <= _MAX_REASON and reason.isprintable()):
        raise ValueError(
            f"the reason to run without a tenant has {_MIN_REASON} to {_MAX_REASON} printable "
            "characters, for whoever reads the audit log"
        )
    token = _scope.set(WithoutTenant(reason))
    _audit.warning("runs without a tenant: %s", reason)
    try:
        yield
    finally:
        _scope.reset(token)


def context_for(context: TenantContext | None) -> Context:
    """Return a copy of this context in which ``context`` is the scope; ``None``: unknown."""
    copied = copy_context()
    copied.run(_scope.set, context)
    return copied


@contextmanager
def request_scope(context: TenantContext | None) -> Iterator[None]:
    """Run the block for a request: with its tenant, or with none, whatever was here before."""
    token = _scope.set(context)
    try:
        yield
    finally:
        _scope.reset(token)


class ContextIterator(Iterator[Item]):
    """The items of a generator, each step in ``context``: who iterates has a context of its own.

    For answers in pieces (WSGI, gRPC), which a server fetches after the call. ``close`` closes
    the generator in the same context, begun or not.
    """

    def __init__(self, context: Context, items: Iterable[Item]) -> None:
        self._context = context
        self._items = items
        self._iterator = context.run(iter, items)

    def __next__(self) -> Item:
        """Return the next item."""
        return self._context.run(next, self._iterator)

    def close(self) -> None:
        """Close what is iterated, where it can be closed."""
        close = getattr(self._items, "close", None)
        if close is not None:
            self._context.run(close)
