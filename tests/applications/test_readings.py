"""How each server reads a request that no edge stands before: the other tests' control run.

docs/what-reaches-your-application.md tells these readings. A server that reads otherwise
one day fails here, and the page is to be looked at.
"""

import socket
from collections.abc import Sequence
from typing import Any

import pytest

from tests.applications.edge import SECONDS, parse, whole
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
EVERY_BYTE = "-_.!#$%&'*+^`|~"


def told(
    applications: Applications,
    name: str,
    path: str = "/",
    headers: Sequence[tuple[str, str]] = (),
    method: str = "GET",
) -> dict[str, Any]:
    lines = [f"{method} {path} HTTP/1.1", "host: h.example", "connection: close"]
    lines += [f"{each}: {value}" for each, value in headers]
    with socket.create_connection(("127.0.0.1", applications.get(name).port), SECONDS) as asked:
        asked.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while not whole(received) and (more := asked.recv(65_536)):
            received += more
    return parse(received).told


FOLDING = [
    ("php", "HTTP_X_TENANT_ID", "-_."),
    ("lighttpd", "HTTP_X_TENANT_ID", EVERY_BYTE),
    ("wsgiref", "HTTP_X_TENANT_ID", "-_"),
    ("puma", "HTTP_X_TENANT_ID", "-_"),
    ("nginx", "x-tenant-id", "-_"),
    ("uvicorn", "x-tenant-id", "-"),
    ("node", "x-tenant-id", "-"),
    ("express", "x-tenant-id", "-"),
    ("go", "X-Tenant-Id", "-"),
    ("tomcat", "x-tenant-id", "-"),
]


@pytest.mark.parametrize(("name", "known", "folded"), FOLDING, ids=[row[0] for row in FOLDING])
def test_which_bytes_of_a_name_are_one(
    name: str, known: str, folded: str, applications: Applications
) -> None:
    found = "".join(
        byte
        for byte in EVERY_BYTE
        if told(applications, name, headers=[(f"x{byte}tenant{byte}id", "v")])["seen"].get(known)
    )
    assert set(found) == set(folded)


COOKIES = [
    ("php", "1", "G"),
    ("wsgiref", "2", "G"),
    ("uvicorn", "2", "G"),
    ("express", "1", "F"),
    ("puma", "1", "G"),
    ("nginx", "1", "F"),
    ("go", "1", "F"),
    ("tomcat", "1", "F"),
]


@pytest.mark.parametrize(("name", "of_two", "spaced"), COOKIES, ids=[row[0] for row in COOKIES])
def test_which_of_two_cookies_counts(
    name: str, of_two: str, spaced: str, applications: Applications
) -> None:
    two = told(applications, name, headers=[("cookie", "session=1; session=2")])
    assert two["cookies"]["session"] == of_two
    space = told(applications, name, headers=[("cookie", "session =F; session=G")])
    assert space["cookies"]["session"] == spaced


DECODING = ["php", "lighttpd", "wsgiref", "uvicorn", "puma", "nginx", "go", "tomcat"]


@pytest.mark.parametrize("name", [*DECODING, "node", "express"])
def test_who_decodes_a_path_before_it_is_matched(name: str, applications: Applications) -> None:
    answer = told(applications, name, "/assets2/%40admin/x")
    raw, decoded = "/assets2/%40admin/x", "/assets2/@admin/x"
    assert answer["path"] == (decoded if name in DECODING else raw)


@pytest.mark.parametrize("path", ["/api/admin", "/API/ADMIN", "/api/admin/", "/Api/Admin/"])
def test_express_ignores_case_and_a_trailing_slash(path: str, applications: Applications) -> None:
    assert told(applications, "express", path)["handler"] == "admin"


def test_tomcat_cuts_parameters_away(applications: Applications) -> None:
    answer = told(applications, "tomcat", "/assets2;a=b/%40admin;c=d/x")
    assert (answer["handler"], answer["path"]) == ("admin", "/assets2/@admin/x")


OVERRIDES = [
    ("x-http-method-override", "DELETE"),
    ("x-forwarded-host", "forged.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "203.0.113.9, 198.51.100.1"),
]
BELIEVED = [
    ("express", ("DELETE", "forged.example", "https", "203.0.113.9")),
    ("puma", ("POST", "forged.example", "https", "198.51.100.1")),
    ("uvicorn", ("POST", "h.example", None, "198.51.100.1")),
    ("php", ("POST", "h.example", None, "127.0.0.1")),
    ("node", ("POST", "h.example", None, "127.0.0.1")),
    ("wsgiref", ("POST", "h.example", None, "127.0.0.1")),
    ("nginx", ("POST", "h.example", None, "127.0.0.1")),
    ("tomcat", ("POST", "h.example", "http", "127.0.0.1")),
]


@pytest.mark.parametrize(("name", "believed"), BELIEVED, ids=[row[0] for row in BELIEVED])
def test_whom_a_server_believes(
    name: str, believed: tuple[str | None, ...], applications: Applications
) -> None:
    answer = told(applications, name, headers=OVERRIDES, method="POST")
    assert tuple(answer.get(key) for key in ("method", "host", "scheme", "client")) == believed
