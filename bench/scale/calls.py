"""What the calls of a fleet to Vault are for, and how many there were when. Pure.

A call is named by what the sidecar wants with it, which its method and path tell. A beat is a
fleet that calls in step: the busiest second against the mean one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_LIST = "LIST"
_KINDS: tuple[tuple[str, str], ...] = tuple(
    (kind, rf"(?:{pattern})")
    for kind, pattern in (
        ("login", r"\w+ auth/approle/login"),
        ("token renewal", r"\w+ auth/token/renew-self"),
        ("Vault's clock", r"GET sys/health"),
        ("signing key", r"GET secret/data/iam/jwt-signing-key"),
        ("signing key's versions", r"GET secret/metadata/iam/jwt-signing-key"),
        ("list of revocations, with versions", r"LIST secret/detailed-metadata/iam/revocations/?"),
        ("list of revocations", r"LIST secret/metadata/iam/revocations/?"),
        ("version of a revocation entry", r"GET secret/metadata/iam/revocations(/.+)?"),
        ("revocation entry", r"GET secret/data/iam/revocations(/.+)?"),
        ("list of domains", r"LIST secret/metadata/domains/?"),
        ("list of domains, with versions", r"LIST secret/detailed-metadata/domains/?"),
        ("domain", r"GET secret/data/domains/.+"),
        ("stored certificate", r"GET secret/(data|metadata)/septem/certificates/certificates/.+"),
        ("certificate stored", r"\w+ secret/(data|metadata)/septem/certificates/certificates/.+"),
        ("lease read", r"GET secret/(data|metadata)/septem/certificates/leases/.+"),
        ("lease written", r"\w+ secret/(data|metadata)/septem/certificates/leases/.+"),
        ("order (PKI signs)", r"\w+ pki/sign/.+"),
        ("CRL", r"\w+ pki/issuers?(/.+)?"),
    )
)
_PATTERNS = [(kind, re.compile(pattern)) for kind, pattern in _KINDS]
OTHER = "other"
ORDER = "order (PKI signs)"


def kind_of(method: str, path: str) -> str:
    """Return what a call is for; ``path`` is without ``/v1/`` and query."""
    if method == "GET" and path.endswith("/") and path != "/":
        method = _LIST
    line = f"{method} {path}"
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(line)), OTHER)


@dataclass(slots=True)
class Call:
    """One HTTP exchange with Vault. Times are Unix seconds; ``status`` is 0 without an answer."""

    at: float
    kind: str
    sent_bytes: int
    status: int = 0
    received_bytes: int = 0


def between(calls: Iterable[Call], start: float, end: float) -> list[Call]:
    """Return the calls that began in ``[start, end)``."""
    return [each for each in calls if start <= each.at < end]


def summary(calls: Sequence[Call], start: float, end: float) -> dict[str, Any]:
    """Return counts by kind, calls and bytes a second, and how uneven the seconds were.

    ``busiest_over_mean`` compares the busiest whole second with the mean one: 1 for calls that
    are spread evenly; by chance alone some more.
    """
    seconds = max(end - start, 1.0)
    found = between(calls, start, end)
    per_second = Counter(int(each.at - start) for each in found)
    mean = len(found) / seconds
    busiest = max(per_second.values(), default=0)
    return {
        "seconds": round(seconds, 1),
        "calls": len(found),
        "calls_a_second": round(mean, 1),
        "busiest_second": busiest,
        "busiest_over_mean": round(busiest / mean, 2) if mean else 0.0,
        "received_bytes_a_second": round(sum(each.received_bytes for each in found) / seconds),
        "failed": sum(not 200 <= each.status < 500 for each in found),
        "kinds": dict(Counter(each.kind for each in found).most_common()),
    }


def spread_seconds(moments: Sequence[float]) -> dict[str, float]:
    """Return when half, 99 in 100 and all of a fleet were there, in seconds."""
    ordered = sorted(moments)
    if not ordered:
        return {}
    last = len(ordered) - 1
    shares = {"half": last // 2, "p99": round(last * 0.99), "all": last}
    return {name: round(ordered[index], 2) for name, index in shares.items()}


def growth(sizes: Sequence[int], figures: Sequence[float]) -> str:
    """Tell how a figure grows with a size: by its exponent between the ends of the series."""
    pairs = [(size, figure) for size, figure in zip(sizes, figures, strict=True) if figure > 0]
    if len(pairs) < 2:
        return "constant"
    steps = [
        (later[1] / earlier[1] - 1) / (later[0] / earlier[0] - 1)
        for earlier, later in pairwise(pairs)
    ]
    mean = sum(steps) / len(steps)
    if mean < 0.1:
        return "constant"
    return "linear" if mean <= 1.25 else "more than linear"


def certificate_calls(found: Mapping[str, int]) -> int:
    """Count the calls that have to do with certificates."""
    wanted = (
        *("stored certificate", "certificate stored", "lease read", "lease written"),
        *("Vault's clock", "order (PKI signs)"),
    )
    return sum(found.get(kind, 0) for kind in wanted)
