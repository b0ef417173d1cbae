"""Which request comes next: a pure function of the seed and of the client's number."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CREDENTIALS: dict[str, float] = {
    "good": 50, "none": 6, "old_key": 6, "forged": 5, "unknown_key": 3, "expired": 3, "early": 3,
    "unsigned": 2, "confused": 2, "wrong_audience": 2, "wrong_issuer": 2, "too_large": 1,
    "malformed": 2, "twice": 2, "no_subject": 2, "refresh": 2, "too_long": 2, "revoked": 4,
    "basic": 2,
}  # fmt: skip
"""The kinds of tokens, and how often each comes."""
PLACES: dict[str, float] = {
    "/api/orders": 24, "/api/admin": 8, "/api/scoped": 8, "/api/acme": 8, "/assets": 6,
    "/open": 6, "/page": 6, "/swing": 18, "/late": 8, "/nowhere": 3, "/api;x": 2, "/api/hot": 10,
}  # fmt: skip
"""Where plain requests go."""
SHAPES: dict[str, float] = {
    "get": 70, "post": 6, "stream": 4, "socket": 4, "grpc": 8, "install": 5, "limited": 2,
    "unknown_name": 1,
}  # fmt: skip
ROLES: tuple[tuple[str, ...], ...] = ((), ("admin",), ("viewer", "admin"), ("viewer",))
SCOPES = ("", "orders.read", "orders.write orders.read", "orders.write")
BUNDLES = ("signed", "signed", "altered", "unsigned", "stranger", "withdrawn")
_OTHER_PLACES = {
    "stream": "/stream", "socket": "/socket", "grpc": "/septem.Soak", "limited": "/api/limited",
    "install": "/api/v1/modules/install",
}  # fmt: skip


class Ask(NamedTuple):
    """One request, before it is given a name, a key and a time."""

    client: int
    number: int
    shape: str
    place: str
    credential: str
    """The kind of credential, of ``CREDENTIALS``."""
    issuer: int
    tenant: int
    roles: tuple[str, ...]
    scope: str
    spoofed: bool
    """Whether trusted headers are sent along, in several spellings."""
    bundle: str
    host: float
    """From 0 to 1: which of the names there are."""
    keep: float
    """From 0 to 1: whether the connection is kept for the next."""

    @property
    def path(self) -> str:
        """The path, another for each request but for those that must be the same."""
        if self.shape == "install":
            return self.place
        if self.place == "/api/hot":
            return f"{self.place}/{self.client}"
        joint = "/E" if self.shape == "grpc" else "/"
        return f"{self.place}{joint}{self.client}-{self.number}"


def asks(seed: int, act: str, client: int) -> Iterator[Ask]:
    """Yield the requests of one client, without an end."""
    rng = random.Random(f"{seed}/{act}/client/{client}")
    number = 0
    while True:
        shape = _draw(rng, SHAPES)
        place = _OTHER_PLACES.get(shape) or _draw(rng, PLACES)
        credential = _draw(rng, CREDENTIALS)
        if shape == "limited" or place == "/api/hot":
            credential = "good"
        yield Ask(
            client, number, shape, place, credential, rng.randrange(2), rng.randrange(2),
            rng.choice(ROLES), rng.choice(SCOPES), rng.random() < 0.3,
            _one_of(rng, BUNDLES), rng.random(), rng.random(),
        )  # fmt: skip
        number += 1


def _draw(rng: random.Random, weights: dict[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _one_of(rng: random.Random, values: Sequence[str]) -> str:
    return values[rng.randrange(len(values))]
