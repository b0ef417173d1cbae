"""Which requests the admin port refuses because a web page may have sent them."""

import h11
import pytest

from sidecar.admin.server import refuse_web_pages

HOST = ("Host", "127.0.0.1:9102")


def refused(method: str, *headers: tuple[str, str]) -> int:
    """Return the status of the refusal; 200 for none."""
    refusal = refuse_web_pages(h11.Request(method=method, target="/", headers=list(headers)))
    assert refusal is None or refusal.detail, "it says what to do"
    return refusal.status if refusal is not None else 200


BROWSERS = [
    ("another origin", "POST", "Origin: https://evil.example", 403),
    ("our own origin", "POST", "Origin: http://127.0.0.1:9102", 403),
    ("an opaque origin", "POST", "Origin: null", 403),
    ("an empty origin", "POST", "Origin:", 403),
    ("another site and no origin", "POST", "Sec-Fetch-Site: cross-site", 403),
    ("another port of this host", "POST", "Sec-Fetch-Site: same-site", 403),
    ("our own page", "POST", "Sec-Fetch-Site: same-origin", 403),
    ("typed by hand", "POST", "Sec-Fetch-Site: none", 403),
    ("in capitals", "POST", "SEC-FETCH-SITE: CROSS-SITE", 403),
    ("its other headers", "POST", "Sec-Fetch-Mode: no-cors", 403),
    ("a referrer", "POST", "Referer: https://evil.example/", 403),
    ("a cookie", "POST", "Cookie: a=b", 403),
    ("a form", "POST", "Content-Type: application/x-www-form-urlencoded", 403),
    ("a form with a parameter", "POST", "Content-Type: Text/Plain; charset=utf-8", 403),
    ("a form of parts", "POST", "Content-Type: multipart/form-data; boundary=x", 403),
    ("a type that has to be asked for first", "POST", "Content-Type: application/json", 200),
    ("what curl sends", "POST", "User-Agent: curl/8.0\r\nAccept: */*", 200),
    ("other methods", "DELETE", "Origin: null", 403),
    ("a read of another origin", "GET", "Origin: https://evil.example", 200),
    (
        "an image of another site",
        "GET",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors",
        403,
    ),
    (
        "a frame of another site",
        "GET",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe",
        403,
    ),
    (
        "a link on another site",
        "GET",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document",
        200,
    ),
    ("a read by its address", "GET", "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate", 200),
    ("a read of our own page", "GET", "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors", 200),
]


@pytest.mark.parametrize(
    ("method", "headers", "status"), [b[1:] for b in BROWSERS], ids=[b[0] for b in BROWSERS]
)
def test_what_a_page_in_a_browser_can_cause(method: str, headers: str, status: int) -> None:
    """A form posted across sites needs no preflight, and its Host is ours."""
    fields = (line.partition(":") for line in headers.split("\r\n"))
    named = [(name, value.strip()) for name, _, value in fields]
    assert refused(method, HOST, *named) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9102", 200),
        ("127.0.0.1", 200),
        ("[::1]:9102", 200),
        ("[::1]", 200),
        ("192.0.2.1", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 421),
        ("evil.example:9102", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:9102", 421),
        ("2130706433", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_host_is_an_address_or_this_machine(method: str, host: str, status: int) -> None:
    """DNS can point any other name here (DNS rebinding)."""
    assert refused(method, ("Host", host)) == status


def test_http_1_0_has_no_host() -> None:
    request = h11.Request(method="GET", target="/", headers=[], http_version="1.0")
    assert refuse_web_pages(request) is None
