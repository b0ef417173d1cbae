"""The admin port's routes of certificates: which status each outcome has."""

import json
from collections.abc import Awaitable
from typing import Any

import pytest

from sidecar.certificates.managed.admin import (
    CertificateAdminFault,
    TooSoon,
    UnknownCertificate,
)
from sidecar.certificates.managed.admin_routes import certificate_routes
from sidecar.common.errors import Fault
from sidecar.transport.http1_messages import Request, Response


class Actions:
    """Actions whose outcome is given; ``CertificateAdmin`` has tests of its own."""

    def __init__(self, outcome: Exception | None = None) -> None:
        self.outcome = outcome
        self.done: list[tuple[str, str]] = []

    def list(self) -> "list[dict[str, Any]]":
        return [{"name": "edge"}]

    def show(self, name: str) -> dict[str, Any]:
        return self._do("show", name)

    def renew(self, name: str) -> dict[str, Any]:
        return self._do("renew", name)

    async def revoke(self, name: str) -> dict[str, Any]:
        return self._do("revoke", name)

    def _do(self, what: str, name: str) -> dict[str, Any]:
        if self.outcome is not None:
            raise self.outcome
        self.done.append((what, name))
        return {"name": name}


async def ask(actions: Actions, method: str, path: str, query: str = "name=edge") -> Response:
    handle = certificate_routes(actions)[method, f"/certificates{path}"]
    answer = handle(Request(method, f"/certificates{path}", query, b""))
    return await answer if isinstance(answer, Awaitable) else answer


def test_what_changes_something_is_a_post() -> None:
    assert sorted(certificate_routes(Actions())) == [
        ("GET", "/certificates"), ("GET", "/certificates/show"),
        ("POST", "/certificates/renew"), ("POST", "/certificates/revoke"),
    ]  # fmt: skip


async def test_the_list() -> None:
    answer = await ask(Actions(), "GET", "")
    assert (answer.status, json.loads(answer.body)) == (200, {"certificates": [{"name": "edge"}]})


ROUTES = [("GET", "/show"), ("POST", "/renew"), ("POST", "/revoke")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_route_acts_on_the_certificate_that_is_named(method: str, path: str) -> None:
    actions = Actions()
    answer = await ask(actions, method, path, "name=*.a%2Bb.example")
    assert (answer.status, json.loads(answer.body)) == (200, {"name": "*.a+b.example"})
    assert actions.done == [(path[1:], "*.a+b.example")]


@pytest.mark.parametrize("query", ["", "name=", "name=a&name=b", "nam=a"])
async def test_exactly_one_certificate_is_named(query: str) -> None:
    actions = Actions()
    answer = await ask(actions, "POST", "/revoke", query)
    assert answer.status == 400
    assert b"name exactly one certificate" in answer.body
    assert actions.done == []


OUTCOMES: list[tuple[Exception, int, tuple[tuple[str, str], ...]]] = [
    (UnknownCertificate("there is none"), 404, ()),
    (TooSoon("edge", 47.2), 429, (("retry-after", "48"),)),
    (CertificateAdminFault("not here"), 409, ()),
    (Fault("Vault: permission denied"), 502, ()),
]


@pytest.mark.parametrize(("outcome", "status", "headers"), OUTCOMES)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_fault_is_answered_by_its_kind(
    outcome: Exception, status: int, headers: object, method: str, path: str
) -> None:
    answer = await ask(Actions(outcome), method, path)
    assert (answer.status, answer.headers) == (status, headers)
    assert json.loads(answer.body) == {"error": str(outcome)}


async def test_a_defect_is_the_servers_to_report() -> None:
    with pytest.raises(ZeroDivisionError):
        await ask(Actions(ZeroDivisionError()), "POST", "/renew")
