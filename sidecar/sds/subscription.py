"""What one client is subscribed to, and what must be sent next: xDS without the wire format.

Both variants of the protocol (envoyproxy.io, "xDS REST and gRPC protocol"), as plain
values in and out:

- *State of the world*: each request carries all names; an answer carries the resources
  that changed. For secrets, what an answer leaves out stays as it was.
- *Delta*: requests add and remove names; answers carry changes and removals.

The rules for both:

- An answer carries one resource. Envoy accepts or refuses an answer as a whole, so that
  a bad secret among good ones would hold them back, and its refusal would name none.
- A request with a nonce that is not the latest answer's is stale. In state of the world
  its names say nothing; in delta names always count. A refusal (NACK) counts in both as
  long as its answer is remembered, because answers overlap.
- A refusal is reported, and nothing is sent again because of it: the same bytes would be
  refused again. The next version of the resource is sent as usual.
- A new stream may carry versions and nonces of an earlier process. A resource that its
  first request names with the current version is not sent again (delta).
- There is no wildcard: a client gets the secrets that it names.
- A resource can be evicted from a client (delta): it is sent a removal, and gets the
  resource again when it asks again.

The names to look at are kept in ``_due``, so that the change of one name costs nothing for
the other names of its stream.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from sidecar.common.errors import Fault

MAX_NAMES = 100_000
MAX_NAME_LENGTH = 512
MAX_REMOVED = 1000
"""Removals in one answer; the rest goes into the next."""
_MIN_REMEMBERED = 64

_Due = OrderedDict[str, None]
"""Names to look at, in order; removing from the front of a plain dict is slow."""


class SubscriptionFault(Fault):
    """A client asks for more than a stream may hold."""


class Resource(NamedTuple):
    """One encoded resource. ``version`` changes whenever ``body`` does."""

    name: str
    version: str
    body: bytes

    def __repr__(self) -> str:
        """Leave the body out: it holds a private key."""
        return f"Resource({self.name!r}, {self.version!r}, {len(self.body)} bytes)"


class Pending(NamedTuple):
    """A resource that is being obtained: nothing is sent for it yet."""


PENDING = Pending()
Lookup = Callable[[str, bool], Resource | Pending | None]
"""Returns a resource, ``PENDING``, or ``None`` for a name that does not exist.

The second argument is True if the client waits, because it has nothing under this name. For a
client that holds a version nothing is obtained; it is only sent a change.
"""


class Nack(NamedTuple):
    """A client's refusal: the resource and the client's message."""

    name: str
    message: str


class SotwRequest(NamedTuple):
    """The fields of a ``DiscoveryRequest`` that are used."""

    names: tuple[str, ...]
    nonce: str = ""
    error: str | None = None


class SotwAnswer(NamedTuple):
    """The fields of a ``DiscoveryResponse`` that vary."""

    version: str
    nonce: str
    resources: tuple[Resource, ...]


class DeltaRequest(NamedTuple):
    """The fields of a ``DeltaDiscoveryRequest`` that are used."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = {}
    nonce: str = ""
    error: str | None = None


class DeltaAnswer(NamedTuple):
    """The fields of a ``DeltaDiscoveryResponse`` that vary: one resource, or removals."""

    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


class _Answers:
    """The answers that are not yet acknowledged: the nonce and the resource of each."""

    def __init__(self) -> None:
        self._count = 0
        self._open: OrderedDict[str, str] = OrderedDict()

    @property
    def latest(self) -> str:
        """The nonce of the last answer; empty before the first."""
        return str(self._count) if self._count else ""

    def begin(self, about: str, subscribed: int) -> str:
        """Return the nonce of a new answer. The number of remembered answers is bounded."""
        self._count += 1
        self._open[self.latest] = about
        while len(self._open) > _MIN_REMEMBERED + 2 * subscribed:
            self._open.popitem(last=False)
        return self.latest

    def settle(self, nonce: str, error: str | None) -> Nack | None:
        """Handle an acknowledgement or a refusal; return the refusal of a remembered answer."""
        about = self._open.pop(nonce, None)
        return None if about is None or error is None else Nack(about, error)


class SotwSubscription:
    """One client's subscription to one type, state of the world."""

    def __init__(self) -> None:
        self._sent: dict[str, str | None] = {}
        """Every name subscribed to, with the version that was sent, if any."""
        self._due: _Due = OrderedDict()
        self._answers = _Answers()

    @property
    def names(self) -> Collection[str]:
        """The names subscribed to."""
        return self._sent.keys()

    def receive(self, request: SotwRequest) -> Nack | None:
        """Handle a request; return the refusal, if it is one. Raises ``SubscriptionFault``."""
        _check_names(request.names, len(request.names))
        latest = self._answers.latest
        nack = self._answers.settle(request.nonce, request.error)
        if latest and request.nonce and request.nonce != latest:
            return nack
        new = [name for name in request.names if name not in self._sent]
        self._sent = {name: self._sent.get(name) for name in request.names}
        for name in [name for name in self._due if name not in self._sent]:
            del self._due[name]
        self._due.update(dict.fromkeys(new))
        return nack

    def mark(self, name: str) -> bool:
        """Mark a changed resource; return whether this client is subscribed to it."""
        return _mark(name, self._sent, self._due)

    def answer(self, lookup: Lookup) -> SotwAnswer | None:
        """Return the next answer, or ``None`` if nothing is due. Call until ``None``."""
        while self._due:
            name, _ = self._due.popitem(last=False)
            resource = lookup(name, self._sent[name] is None)
            if isinstance(resource, Resource) and self._sent[name] != resource.version:
                self._sent[name] = resource.version
                nonce = self._answers.begin(name, len(self._sent))
                return SotwAnswer(resource.version, nonce, (resource,))
        return None


class DeltaSubscription:
    """One client's subscription to one type, delta."""

    _ABSENT = ""
    """The version of a name that the client knows not to exist."""

    def __init__(self) -> None:
        self._sent: dict[str, str | None] = {}
        self._due: _Due = OrderedDict()
        self._answers = _Answers()
        self._begun = False
        self._evicted: set[str] = set()

    @property
    def names(self) -> Collection[str]:
        """The names subscribed to."""
        return self._sent.keys()

    def receive(self, request: DeltaRequest) -> Nack | None:
        """Handle a request; return the refusal, if it is one. Raises ``SubscriptionFault``.

        A name that is subscribed to again is sent again: the client has lost it.
        """
        for name in request.unsubscribe:
            self._sent.pop(name, None)
            self._due.pop(name, None)
            self._evicted.discard(name)
        added = sum(name not in self._sent for name in request.subscribe)
        _check_names(request.subscribe, len(self._sent) + added)
        held = {} if self._begun else request.initial_versions
        self._begun = True
        for name in request.subscribe:
            self._sent[name] = held.get(name)
            self._due[name] = None
            self._evicted.discard(name)
        return self._answers.settle(request.nonce, request.error)

    def mark(self, name: str) -> bool:
        """Mark a changed resource; return whether this client is subscribed to it."""
        return _mark(name, self._sent, self._due)

    def evict(self, name: str) -> bool:
        """Evict a resource from the client; return whether the client holds it.

        When it asks for the name again it is answered as if for the first time.
        """
        if not self._sent.get(name):
            return False
        self._evicted.add(name)
        self._due[name] = None
        return True

    def answer(self, lookup: Lookup) -> DeltaAnswer | None:
        """Return the next answer, or ``None`` if nothing is due. Call until ``None``."""
        removed: list[str] = []
        while self._due and len(removed) < MAX_REMOVED:
            name, _ = self._due.popitem(last=False)
            if name in self._evicted:
                self._evicted.discard(name)
                self._sent[name] = self._ABSENT
                removed.append(name)
                continue
            resource = lookup(name, self._sent[name] is None)
            if resource is None and self._sent[name] != self._ABSENT:
                self._sent[name] = self._ABSENT
                removed.append(name)
            elif isinstance(resource, Resource) and resource.version != self._sent[name]:
                if removed:
                    self._due[name] = None
                    break
                self._sent[name] = resource.version
                nonce = self._answers.begin(name, len(self._sent))
                return DeltaAnswer(nonce, (resource,), ())
        if not removed:
            return None
        nonce = self._answers.begin("", len(self._sent))
        return DeltaAnswer(nonce, (), tuple(removed))


def _mark(name: str, subscribed: Mapping[str, object], due: _Due) -> bool:
    if name not in subscribed:
        return False
    due[name] = None
    return True


def _check_names(names: Iterable[str], total: int) -> None:
    if total > MAX_NAMES:
        raise SubscriptionFault(f"more than {MAX_NAMES} names on one stream")
    if any(len(name) > MAX_NAME_LENGTH for name in names):
        raise SubscriptionFault(f"a name of more than {MAX_NAME_LENGTH} characters")
