"""The transport to an ACME CA: what it sends again, where it does not go, when to come back.

That nothing leads away from TLS is in ``test_client.py``, with servers.
"""

from email.utils import formatdate
from typing import Any

import pytest
import requests
from acme import messages
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certificates.issuers.acme.client import AccountKeyMaterial
from sidecar.certificates.issuers.acme.faults import AcmeFault
from sidecar.certificates.issuers.acme.network import Network, retry_after_of

NOW = 1_800_000_000.0
WEEK = 7 * 86_400.0
HEADERS: list[tuple[str, str | None, float | None]] = [
    ("none", None, None),
    ("seconds", "120", 120.0),
    ("at once", "0", 0.0),
    ("a date", formatdate(NOW + 90, usegmt=True), 90.0),
    ("a date that has passed", formatdate(NOW - 90, usegmt=True), 0.0),
    ("a year", "31536000", WEEK),
    ("a date in a year", formatdate(NOW + 365 * 86_400, usegmt=True), WEEK),
    ("a number beyond every float", "9" * 400, WEEK),
    ("no whole number", "1.5", None),
    ("a negative number", "-5", None),
    ("no date", "tomorrow", None),
    ("digits that are none of ours", "²", None),
    ("nothing", "", None),
]


@pytest.mark.parametrize(
    ("header", "seconds"), [h[1:] for h in HEADERS], ids=[h[0] for h in HEADERS]
)
def test_when_to_come_back(header: str | None, seconds: float | None) -> None:
    assert retry_after_of(header, NOW) == seconds


def network(*, https: bool) -> Network:
    key = AccountKeyMaterial(ec.generate_private_key(ec.SECP256R1())).jwk
    return Network(key, None, 1.0, https=https)


LED = [
    (True, "http://127.0.0.1:1/x", "refers to a URL that is not"),
    (True, "file:///etc/passwd", "refers to a URL that is not"),
    (True, "HTTPS://127.0.0.1:1/x", "refers to a URL that is not"),
]


@pytest.mark.parametrize(("https", "url", "said"), LED)
def test_over_tls_only_tls_is_asked(https: bool, url: str, said: str) -> None:
    with pytest.raises(AcmeFault, match=said):
        network(https=https).get(url)


@pytest.mark.parametrize(
    ("https", "url"), [(True, "https://127.0.0.1:1/x"), (False, "http://127.0.0.1:1/x")]
)
def test_what_fits_the_directory_is_asked(https: bool, url: str) -> None:
    with pytest.raises((requests.ConnectionError, ValueError)):
        network(https=https).get(url)


REFUSED = [
    ("the nonce, once", ["badNonce"], 2),
    ("the nonce, four times", ["badNonce"] * 4, 5),
    ("the nonce, whatever is sent", ["badNonce"] * 9, 5),
    ("something else", ["malformed"], 1),
    ("the nonce and then something else", ["badNonce", "malformed"], 2),
]


@pytest.mark.parametrize(("codes", "sent"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_request_is_sent_again_only_with_another_nonce(
    codes: list[str], sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, left, posts = network(https=True), list(codes), []

    def post_once(*arguments: Any, **_options: Any) -> requests.Response:
        posts.append(arguments)
        if left:
            raise messages.Error.with_code(left.pop(0))
        return requests.Response()

    monkeypatch.setattr(net, "_post_once", post_once)
    if sent > len(codes):
        net.post("https://ca.example/x", None)
    else:
        with pytest.raises(messages.Error) as raised:
            net.post("https://ca.example/x", None)
        assert raised.value.code == codes[sent - 1]
    assert len(posts) == sent
