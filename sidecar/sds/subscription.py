"""What one client is subscribed to, and what it must be sent next: xDS without the wire.

Both variants of the protocol (envoyproxy.io, "xDS REST and gRPC protocol"), as plain
values in and out:

- *State of the world*: each request carries all names; an answer carries the resources
  that changed. For secrets, what an answer leaves out stays as it was.
- *Delta*: requests add and take away names; answers carry changes and removals.

The rules that matter here, in both:

- A request with a nonce that is not the latest answer's is stale. In state of the world
  it says nothing at all; in delta only its acknowledgement is void.
- A refusal (NACK) is noted and nothing is sent again because of it: the same bytes would
  be refused again, for ever. The next version of the resource is sent as usual.
- A stream that begins anew may carry versions and nonces of a process that is gone.
  What the client says it holds in the version we hold is not sent again (delta).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sidecar.errors import Fault

MAX_NAMES = 100_000
MAX_NAME_LENGTH = 512


class SubscriptionFault(Fault):
    """A client asks for more than a stream may hold."""


class Resource(NamedTuple):
    """One encoded resource. ``version`` changes whenever ``body`` does."""

    name: str
    version: str
    body: bytes

    def __repr__(self) -> str:
        """Show no body: it holds a private key."""
        return f"Resource({self.name!r}, {self.version!r}, {len(self.body)} bytes)"


class Pending(NamedTuple):
    """A resource that is being obtained: nothing is said of it yet."""


PENDING = Pending()
Lookup = Callable[[str], Resource | Pending | None]
"""Returns a resource, ``PENDING``, or ``None`` for a name that does not exist."""


class Nack(NamedTuple):
    """A client's refusal, in its own words."""

    nonce: str
    message: str


class SotwRequest(NamedTuple):
    """The part of a ``DiscoveryRequest`` that matters."""

    names: tuple[str, ...]
    nonce: str = ""
    error: str | None = None


class SotwAnswer(NamedTuple):
    """The part of a ``DiscoveryResponse`` that varies."""

    version: str
    nonce: str
    resources: tuple[Resource, ...]


class DeltaRequest(NamedTuple):
    """The part of a ``DeltaDiscoveryRequest`` that matters."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = {}
    nonce: str = ""
    error: str | None = None


class DeltaAnswer(NamedTuple):
    """The part of a ``DeltaDiscoveryResponse`` that varies."""

    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


class SotwSubscription:
    """One client's subscription to one type, state of the world."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sent: dict[str, str] = {}
        self._nonce = 0

    @property
    def names(self) -> Iterable[str]:
        """The names subscribed to."""
        return self._names

    def receive(self, request: SotwRequest) -> Nack | None:
        """Take a request; returns the refusal, if it is one."""
        if self._nonce and request.nonce and request.nonce != str(self._nonce):
            return None
        _check_names(request.names, 0)
        self._names = tuple(dict.fromkeys(request.names))
        wanted = set(self._names)
        self._sent = {name: version for name, version in self._sent.items() if name in wanted}
        if request.error is None:
            return None
        return Nack(request.nonce, request.error)

    def answer(self, lookup: Lookup) -> SotwAnswer | None:
        """Return what has changed for this client since its last answer, or ``None``."""
        changed = []
        for name in self._names:
            resource = lookup(name)
            if isinstance(resource, Resource) and self._sent.get(name) != resource.version:
                self._sent[name] = resource.version
                changed.append(resource)
        if not changed:
            return None
        self._nonce += 1
        return SotwAnswer(changed[-1].version, str(self._nonce), tuple(changed))


class DeltaSubscription:
    """One client's subscription to one type, delta."""

    _ABSENT = ""
    """The version of a name of which the client knows that it does not exist."""

    def __init__(self) -> None:
        self._sent: dict[str, str | None] = {}
        self._nonce = 0

    @property
    def names(self) -> Iterable[str]:
        """The names subscribed to."""
        return self._sent

    def receive(self, request: DeltaRequest) -> Nack | None:
        """Take a request; returns the refusal, if it is a current one.

        A name that is subscribed to again is sent again: the client has lost it.
        """
        for name in request.unsubscribe:
            self._sent.pop(name, None)
        _check_names(request.subscribe, len(self._sent))
        for name in request.subscribe:
            self._sent[name] = request.initial_versions.get(name)
        if request.error is None or request.nonce != str(self._nonce):
            return None
        return Nack(request.nonce, request.error)

    def answer(self, lookup: Lookup) -> DeltaAnswer | None:
        """Return what has changed or gone for this client, or ``None``."""
        changed: list[Resource] = []
        removed: list[str] = []
        for name, sent in self._sent.items():
            resource = lookup(name)
            if resource is None:
                if sent != self._ABSENT:
                    removed.append(name)
            elif isinstance(resource, Resource) and resource.version != sent:
                changed.append(resource)
        if not changed and not removed:
            return None
        self._sent.update((resource.name, resource.version) for resource in changed)
        self._sent.update((name, self._ABSENT) for name in removed)
        self._nonce += 1
        return DeltaAnswer(str(self._nonce), tuple(changed), tuple(removed))


def _check_names(names: tuple[str, ...], held: int) -> None:
    if held + len(names) > MAX_NAMES:
        raise SubscriptionFault(f"more than {MAX_NAMES} names on one stream")
    if any(len(name) > MAX_NAME_LENGTH for name in names):
        raise SubscriptionFault(f"a name of more than {MAX_NAME_LENGTH} characters")
