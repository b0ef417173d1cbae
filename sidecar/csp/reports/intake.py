"""The public intake of violation reports: one answer per request, everything counted.

The senders are not authenticated, and browsers send what pages and extensions make them send.
So: bounds before work (rate, size, type), a report counts for the tenant whose domain was
asked, never for one that a header or the report names, and a report about another host's page
is not counted at all: our own pages report to their own origin.
"""

import hashlib
import ipaddress
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.common.token_bucket import KeyedBuckets, TokenBucket
from sidecar.csp.reports.noise import is_noise
from sidecar.csp.reports.origin import host_of, reduce_url, strip_port
from sidecar.csp.reports.parse import CONTENT_TYPES, NotReports, Violation, parse_body
from sidecar.csp.reports.store import ReportStore, Seen
from sidecar.transport.http1_messages import Request, Response

CLIENT_HEADER = b"x-septem-client"
"""The client's address, set by Envoy on this route, over whatever the client sent."""
MAX_CLIENTS = 4096
_LOG_SECONDS = 60.0
_NO_CONTENT = Response(204, b"")

_log = logging.getLogger(__name__)


class Rates(NamedTuple):
    """Requests per second and burst, of all clients together and of one client's network."""

    per_second: float
    burst: float
    per_client_per_second: float
    per_client_burst: float


class ReportIntake:
    """Adds reports to the store, and passes them on to ``forward``."""

    def __init__(
        self,
        store: ReportStore,
        rates: Rates,
        *,
        domain_owners: Mapping[str, str],
        hash_key: bytes,
        now: Now,
        clock: Callable[[], float],
        forward: Callable[[Seen], None] = lambda _: None,
        registered: Callable[[str], str | None] = lambda _host: None,
    ) -> None:
        """``domain_owners`` is the tenant's id by domain, ``hash_key`` secret and of this process.

        ``registered`` finds the tenant of a domain that a registry knows.

        ``now`` stamps, ``clock`` (monotonic) limits.
        """
        self._store = store
        self._all = TokenBucket(rates.per_second, rates.burst, clock())
        self._clients = KeyedBuckets(
            rates.per_client_per_second, rates.per_client_burst, MAX_CLIENTS
        )
        self.domain_owners = domain_owners
        self._registered = registered
        self._hash_key = hash_key
        self._now = now
        self._clock = clock
        self._forward = forward
        self._said_at = float("-inf")
        self.reports: Counter[str] = Counter()
        """What became of single reports: ``counted``, ``extension``, ``foreign_document`` …"""
        self.answers: Counter[int] = Counter()
        """Requests by status. The server counts them: some are refused before the intake."""

    def use_rates(self, rates: Rates) -> None:
        """Have other rates from now on; what was taken stays taken."""
        self._all.use(rates.per_second, rates.burst, self._clock())
        self._clients.use(rates.per_client_per_second, rates.per_client_burst)

    def take(self, request: Request) -> Response:
        """Answer one POST. 204 means that it was read; the metrics say which reports counted."""
        network = client_network(request.header(CLIENT_HEADER))
        moment = self._clock()
        # A client above its own rate takes nothing from the rate of all.
        if not (self._clients.take(network, moment) and self._all.take(moment)):
            return _problem(429, "too many reports", ("retry-after", "10"))
        content_type = request.header(b"content-type").partition(";")[0].strip().lower()
        if content_type not in CONTENT_TYPES:
            accepted = ("accept", ", ".join(CONTENT_TYPES))
            return _problem(415, f"send {' or '.join(CONTENT_TYPES)}", accepted)
        try:
            parsed = parse_body(request.body)
        except NotReports:
            self.reports["malformed"] += 1
            return _problem(400, "this is no report, nor an array of reports")
        authority = request.header(b"host")
        for name in ("malformed", "other_type", "over_batch"):
            self.reports[name] += getattr(parsed, name)
        for violation in parsed.violations:
            self.reports[self._take_one(violation, authority, network)] += 1
        if not parsed.violations and parsed.malformed:
            return _problem(400, "none of these reports can be read")
        return _NO_CONTENT

    def _take_one(self, violation: Violation, authority: str, network: str) -> str:
        if is_noise(violation):
            return "extension"
        # A frame of the page's own that does not name the page reports to the page's origin.
        document = violation.document or reduce_url(f"https://{authority}")
        host = strip_port(authority)
        if not host or host_of(document) != host:
            return "foreign_document"
        seen = Seen(
            at=self._now(),
            tenant=self.domain_owners.get(host) or self._registered(host) or "",
            document=document,
            directive=violation.directive,
            blocked=violation.blocked,
            disposition=violation.disposition,
            source=violation.source,
            document_id=self._hash(violation.document_url or document),
            client_id=self._hash(network),
        )
        self._store.add(seen)
        self._forward(seen)
        self._say(seen)
        return "counted"

    def _say(self, seen: Seen) -> None:
        """Log that there are reports, once a minute: metrics and page have the rest."""
        moment = self._clock()
        if moment - self._said_at >= _LOG_SECONDS:
            self._said_at = moment
            _log.warning(
                "a browser reported a violation: %s blocked by %s on %s; GET /csp lists all",
                seen.blocked,
                seen.directive,
                seen.document,
            )

    def _hash(self, text: str) -> str:
        raw = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, key=self._hash_key, digest_size=8).hexdigest()


def client_network(address: str) -> str:
    """Return what a client can't change easily: its IPv4 address, or its IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def _problem(status: int, title: str, *headers: tuple[str, str]) -> Response:
    document = Response.json(status, {"type": "about:blank", "title": title, "status": status})
    return document._replace(content_type="application/problem+json", headers=headers)
