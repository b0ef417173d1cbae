"""What is true of the soak's world, and since when: the facts that the model decides by."""

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.soak.asks import Ask
from bench.soak.oracle import Expected, Identity, State, expected
from bench.soak.policy import TENANTS, Policy
from bench.soak.settings import EDGE, ISSUERS
from bench.soak.timeline import Fact
from bench.soak.tokens import SigningKey

RISKY = 6
"""How many subjects, and how many tokens, may come to be revoked."""
BUNDLE = b"export default { mount(){} };"
WITHDRAWN = b"export default { mount(){ /* withdrawn */ } };"


class Name(NamedTuple):
    """A name that the edge serves, and the tenant that it belongs to, if any."""

    name: str
    owner: str


class Sent(NamedTuple):
    """A request that was sent."""

    ask: Ask
    identity: Identity
    kid: str
    name: Name
    at: float
    """Monotonic seconds."""


class IssuerKeys:
    """The keys of one issuer: the one that signs now, and the one before."""

    def __init__(self) -> None:
        self.current = self.previous = SigningKey.generate()

    def rotate(self, fresh: SigningKey) -> None:
        """Sign with another key from now on."""
        self.previous, self.current = self.current, fresh


class World:
    """Facts, each with its windows; what a client may know of them; and the states they allow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.policy: Fact[Policy] = Fact(Policy())
        self.keys = tuple(IssuerKeys() for _ in ISSUERS)
        self.names = [Name(EDGE, "")]
        """Those that have been served once."""
        self.withdrawn: Fact[bool] = Fact(False)
        self._verifies = {each.current.kid: Fact(True) for each in self.keys}
        self._revoked: dict[tuple[str, str], Fact[bool]] = {}
        for number, issuer in itertools.product(range(RISKY), ISSUERS):
            self._revoked[issuer, f"sub risky-{number}"] = Fact(False)
            self._revoked[issuer, f"jti risky-{number}"] = Fact(False)

    def verifies(self, kid: str) -> Fact[bool]:
        """Return whether a key verifies; one that was never heard of does not."""
        return self._verifies.setdefault(kid, Fact(False))

    def revoked(self, issuer: str, what: str) -> Fact[bool]:
        """Return whether ``sub …`` or ``jti …`` is revoked."""
        return self._revoked[issuer, what]

    def key_for(self, ask: Ask) -> SigningKey:
        """Return the key that a request's token is signed with."""
        keys = self.keys[ask.issuer]
        return keys.previous if ask.credential == "old_key" else keys.current

    def name_for(self, ask: Ask) -> Name:
        """Return the name that a request is for."""
        if ask.place == "/api/hot":
            return self.names[0]
        return self.names[int(ask.host * len(self.names))]

    def sends(self, ask: Ask) -> Sent:
        """Note a request that is sent now."""
        identity, key = identity_of(ask), self.key_for(ask)
        return Sent(ask, identity, key.kid, self.name_for(ask), self.clock())

    def right_answers(self, sent: Sent, received: float) -> list[Expected]:
        """Return what would be right at some moment from when it was sent to when it came."""
        ask, identity, issuer = sent.ask, sent.identity, ISSUERS[sent.ask.issuer]
        times = sent.at, received
        risks = [
            self._revoked.get((issuer, f"sub {identity.subject}")),
            self._revoked.get((issuer, f"jti {identity.token_id}")),
        ]
        revoked = {
            any(each)
            for each in itertools.product(*(risk.during(*times) for risk in risks if risk))
        }
        states: Iterable[State] = itertools.starmap(
            State,
            itertools.product(
                self.policy.during(*times), self.verifies(sent.kid).during(*times), revoked,
                (sent.name.owner,), self.withdrawn.during(*times),
            ),
        )  # fmt: skip
        return [expected(ask, identity, state) for state in states]


def identity_of(ask: Ask) -> Identity:
    """Return whose token a request carries."""
    if ask.credential == "revoked":
        number = ask.number % RISKY
        own = f"{ask.client}-{ask.number}"
        if ask.number % 2:
            return Identity(f"risky-{number}", f"t-{own}")
        return Identity(f"s-{own}", f"risky-{number}")
    if ask.place == "/api/hot":
        return Identity(f"hot-{ask.client}", f"hot-{ask.client}")
    return Identity(f"s-{ask.client}-{ask.number}", f"t-{ask.client}-{ask.number}")


def steadied(ask: Ask) -> Ask:
    """Return the request as it is sent: those to a hot path are the same each time."""
    if ask.place != "/api/hot":
        return ask
    which = ask.client % 2
    return ask._replace(issuer=which, tenant=which, roles=("admin",), scope="", shape="get")


def owner_of(number: int) -> str:
    """Return the tenant of the name with this number."""
    return TENANTS[number % len(TENANTS)]
