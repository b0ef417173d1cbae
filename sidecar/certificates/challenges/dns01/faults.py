"""What goes wrong with dns-01, in sentences that say where and what to do."""

from collections.abc import Mapping

import dns.rcode
from dns.rcode import Rcode

from sidecar.certificates.challenges.challenge_list import ChallengeFault

REASONS = frozenset(
    {
        "account", "cname", "key", "name", "not_propagated", "refused", "resolver", "server",
        "unreachable", "zone",
    }
)  # fmt: skip
"""The reasons: a closed set, so that they may be a label."""


class Dns01Fault(ChallengeFault):
    """A challenge can't be put into the DNS. ``reason`` is one of ``REASONS``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"dns-01: {message}")
        self.reason = reason if reason in REASONS else "server"


_REFUSALS: Mapping[Rcode, tuple[str, str]] = {
    Rcode.REFUSED: (
        "refused",
        "allow the TSIG key to change TXT records there (BIND: update-policy; Knot: acl)",
    ),
    Rcode.NOTAUTH: (
        "zone",
        "it is not authoritative for the zone: check server and zones in issuers[].dns.update",
    ),
    Rcode.NOTZONE: ("zone", "the name is not in the zone: check zones in issuers[].dns.update"),
    Rcode.NXDOMAIN: ("zone", "the zone does not exist there: check server and zones"),
    Rcode.NOTIMP: ("server", "it takes no dynamic updates: name the zone's primary as server"),
    Rcode.FORMERR: ("server", "it takes the update for malformed: read its log"),
    Rcode.SERVFAIL: (
        "server",
        "it failed over the update: read its log (can it write the zone's journal?)",
    ),
}


def refusal(where: str, what: str, code: Rcode) -> Dns01Fault:
    """Return the fault of an update that a server answers with another code than NOERROR.

    ``where`` is the server's address, ``what`` the name and the zone.
    """
    reason, advice = _REFUSALS.get(code, ("server", "read its log"))
    text = dns.rcode.to_text(code)
    return Dns01Fault(
        reason, f"the server {where} answers {text} to the update of {what}: {advice}"
    )
