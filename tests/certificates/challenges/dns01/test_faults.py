"""What is said when a server refuses an update."""

import pytest
from dns.rcode import Rcode

from sidecar.certificates.challenges.dns01.faults import REASONS, Dns01Fault, refusal

REFUSALS = [
    (Rcode.REFUSED, "refused", "allow the TSIG key"),
    (Rcode.NOTAUTH, "zone", "is not authoritative"),
    (Rcode.NOTZONE, "zone", "not in the zone"),
    (Rcode.NXDOMAIN, "zone", "does not exist"),
    (Rcode.NOTIMP, "server", "no dynamic updates"),
    (Rcode.FORMERR, "server", "malformed"),
    (Rcode.SERVFAIL, "server", "journal"),
    (Rcode.YXRRSET, "server", "read its log"),
]


@pytest.mark.parametrize(("code", "reason", "said"), REFUSALS, ids=[r[0].name for r in REFUSALS])
def test_every_code_says_where_and_what_to_do(code: Rcode, reason: str, said: str) -> None:
    fault = refusal("192.0.2.1:53", "a.example in the zone example", code)
    words = str(fault)
    assert words.startswith("dns-01: the server 192.0.2.1:53 answers " + code.name)
    assert "a.example in the zone example" in words
    assert said in words
    assert fault.reason == reason
    assert fault.retryable


def test_a_reason_outside_the_set_is_no_label() -> None:
    assert Dns01Fault("whatever", "it fails").reason in REASONS
