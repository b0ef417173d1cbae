"""Which requests the admin port refuses because a web page may have sent them."""

import h11
import pytest

from sidecar.admin.action_log import ActionLog
from sidecar.admin.server import AdminServer, refuse_web_pages
from sidecar.transport.http1_messages import Request, Response

HOST = ("Host", "127.0.0.1:9102")


def refused(method: str, *headers: tuple[str, str], target: str = "/") -> int:
    """Return the status of the refusal; 200 for none."""
    request = h11.Request(method=method, target=target, headers=list(headers))
    refusal = refuse_web_pages(request)
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


FORM = {
    "Host": "127.0.0.1:9102",
    "Origin": "http://127.0.0.1:9102",
    "Content-Type": "application/x-www-form-urlencoded",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Referer": "http://127.0.0.1:9102/page",
    "Cookie": "another=servers",
}
FORMS: list[tuple[str, dict[str, str | None], int]] = [
    ("a form of the page", {}, 200),
    ("of a browser without fetch metadata", {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None}, 200),
    ("by a name of this machine", {"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ("a host in capitals", {"Host": "LOCALHOST", "Origin": "http://localhost"}, 200),
    ("a type with a parameter", {"Content-Type": "application/x-www-form-urlencoded; a=b"}, 200),
    ("no origin", {"Origin": None}, 403),
    ("an opaque origin", {"Origin": "null"}, 403),
    ("another site", {"Origin": "https://evil.example"}, 403),
    ("another port", {"Origin": "http://127.0.0.1:9103"}, 403),
    ("another name of this machine", {"Origin": "http://localhost:9102"}, 403),
    ("another scheme", {"Origin": "https://127.0.0.1:9102"}, 403),
    ("an origin that begins like ours", {"Origin": "http://127.0.0.1:9102.evil.example"}, 403),
    ("said to be of another site", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("said to be of another port", {"Sec-Fetch-Site": "same-site"}, 403),
    ("typed by hand", {"Sec-Fetch-Site": "none"}, 403),
    ("text", {"Content-Type": "text/plain"}, 403),
    ("parts", {"Content-Type": "multipart/form-data; boundary=x"}, 403),
    ("no type", {"Content-Type": None}, 403),
    ("a rebound name", {"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ("a rebound name and our origin", {"Host": "evil.example"}, 421),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "status"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_the_pages_own_forms_and_no_others(changes: dict[str, str | None], status: int) -> None:
    fields = {**FORM, **changes}
    headers = [(name, value) for name, value in fields.items() if value is not None]
    assert refused("POST", *headers, target="/page/do") == status


@pytest.mark.parametrize("twice", ["Origin", "Content-Type", "Sec-Fetch-Site"])
def test_a_field_that_is_there_twice_says_nothing(twice: str) -> None:
    headers = [*FORM.items(), (twice, FORM[twice])]
    assert refused("POST", *headers, target="/page/do") == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/keys/refresh"),
        ("POST", "/page"),
        ("POST", "/page/do?x"),
        ("POST", "/page/do/"),
        ("PUT", "/page/do"),
        ("POST", "http://127.0.0.1:9102/page/do"),
    ],
)
def test_forms_go_nowhere_else(method: str, target: str) -> None:
    assert refused(method, *FORM.items(), target=target) == 403


async def test_every_request_that_is_no_read_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    actions, peer = ActionLog(lambda: 5.0), "user 5, process 6"
    routes = {
        ("POST", "/keys/refresh"): lambda _request: Response(200, b""),
        ("POST", "/certificates/revoke"): lambda _request: Response(409, b""),
        ("GET", "/livez"): lambda _request: Response(200, b""),
        ("POST", "/page/do"): lambda _request: Response(303, b""),
    }
    server = AdminServer("127.0.0.1:0", routes, on_fault=lambda _exc: None, actions=actions)
    for method, path, query in (
        ("POST", "/keys/refresh", ""),
        ("POST", "/certificates/revoke", "name=edge"),
        ("GET", "/livez", ""),
        ("POST", "/page/do", ""),
    ):
        await server._answer(Request(method, path, query, b"", (), peer))
    assert caplog.messages == [
        f"operator action: POST /keys/refresh, by {peer}: done: status 200",
        f"operator action: POST /certificates/revoke?name=edge, by {peer}: refused: status 409",
    ]
