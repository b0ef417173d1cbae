"""What a configuration may say, and hardly anybody means."""

import pytest

from sidecar.config.load import parse_config
from sidecar.config.rules_warnings import config_warnings
from tests.config.documents import MINIMAL


def warned(text: str) -> list[str]:
    return [each.message for each in config_warnings(parse_config(text, "test"))]


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9100", "10.1.2.3:9100", "[::]:9100", "host.example:1"]
)
def test_checks_in_the_clear_on_a_public_address(address: str) -> None:
    (found,) = warned(MINIMAL + f"listen: {{authz: {{address: '{address}'}}}}\n")
    assert f"cross the network to {address} in the clear" in found
    assert "unix:/run/septem/authz.sock" in found


@pytest.mark.parametrize("address", ["127.0.0.1:9100", "[::1]:9100", "localhost:1", "unix:/run/a"])
def test_checks_on_this_machine(address: str) -> None:
    assert warned(MINIMAL + f"listen: {{authz: {{address: '{address}'}}}}\n") == []


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/api/.*", "/api"), ("/x/*", "/x"), ("/*", "/"), ("/a/b$", "/a"), ("/users/:id", "/users")],
)
@pytest.mark.parametrize("name", ["path", "path_prefix"])
def test_a_path_that_looks_like_a_pattern(name: str, path: str, prefix: str) -> None:
    (found,) = warned(MINIMAL.replace("path_prefix: /", f"{name}: '{path}'"))
    assert found.startswith(f"{path} looks like a pattern, and is matched letter by letter")
    assert found.endswith(f"path_prefix: {prefix}")


@pytest.mark.parametrize("path", ["/", "/api.v1", "/a(b)", "/v1/x:cancel", "/a+b", "/$x", "/@me"])
def test_a_path_that_looks_like_none(path: str) -> None:
    assert warned(MINIMAL.replace("path_prefix: /", f"path: '{path}'")) == []


@pytest.mark.parametrize(
    ("route", "cors", "count"),
    [
        ("cors: pages, binding: {by: [dpop]}", "", 1),
        ("cors: pages, binding: {by: [dpop]}", ", request_headers: [authorization, dpop]", 0),
        ("cors: pages, binding: {by: [certificate]}", "", 0),
        ("cors: pages", "", 0),
        ("binding: {by: [dpop]}", "", 0),
    ],
)
def test_proofs_that_no_page_of_another_origin_can_send(route: str, cors: str, count: int) -> None:
    text = MINIMAL.replace("path_prefix: /", f"path_prefix: /, {route}")
    found = warned(
        text + f"headers: {{cors: {{pages: {{origins: ['https://p.example']{cors}}}}}}}\n"
    )
    assert len(found) == count
    assert all("add dpop to request_headers of headers.cors.pages" in each for each in found)
