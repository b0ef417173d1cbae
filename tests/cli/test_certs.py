"""``sidecar certs`` against an admin port with a real manager behind it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from sidecar.certificates.managed.admin import CertificateAdmin, CertificateAdminFault
from sidecar.certificates.managed.admin_routes import certificate_routes
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.transport.http1_messages import Request, Response
from tests.cli.admin_port import Admin
from tests.support.waiting import wait_until


@pytest.fixture(params=["tcp", "unix"])
def admin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Admin]:
    made = Admin("127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path / 'admin.sock'}")
    yield made
    made.stop()


Certs = Callable[..., Any]


@pytest.fixture
def certs(admin: Admin, capsys: pytest.CaptureFixture[str]) -> Certs:
    def run(*arguments: str, code: int = 0) -> Any:
        assert main(["certs", *arguments, "--admin", admin.address]) == code
        captured = capsys.readouterr()
        said = captured.out if code == 0 else captured.err
        return json.loads(said) if "--json" in arguments and code == 0 else said

    return run


def test_the_list(admin: Admin, certs: Certs) -> None:
    edge, orders = certs("list", "--json")
    assert (edge["name"], edge["issuer"], edge["state"]) == ("edge", "internal", "held")
    assert edge["names"] == ["app.example", "*.app.example"]
    assert orders["names"] == ["spiffe://d/ns/orders/sa/api"]
    assert edge["serial"] == admin.serial("edge")
    assert 0.4 < edge["days_left"] <= 0.5
    assert (edge["served"], orders["served"]) == (True, None)
    table = certs("list")
    assert "edge" in table
    assert "days left" in table
    assert "PRIVATE" not in table + certs("show", "edge")


def test_show_has_the_chain(certs: Certs) -> None:
    shown = certs("show", "orders", "--json")
    assert shown["chain_pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in json.dumps(shown)
    assert "spiffe://d/ns/orders/sa/api" in certs("show", "orders")


def test_pins(certs: Certs) -> None:
    pins = {row["name"]: row["spki_sha256"] for row in certs("pins", "--json")}
    assert set(pins) == {"edge", "orders"}
    assert all(len(pin) == 44 for pin in pins.values())
    assert pins["edge"] in certs("pins")


def test_a_hundred_renewals_are_one_order(admin: Admin, certs: Certs) -> None:
    before, asked = admin.serial("edge"), admin.issuer.asked
    admin.issuer.may_answer.clear()
    for _ in range(50):
        certs("renew", "edge", "--wait", "0", code=3)  # one is under way
    admin.issuer.may_answer.set()
    wait_until(lambda: admin.serial("edge") not in {before, ""})
    wait_until(lambda: certs("show", "edge", "--json")["state"] == "held")
    for _ in range(50):
        assert main(["certs", "renew", "edge", "--admin", admin.address]) == 1
    assert admin.issuer.asked == asked + 1
    certs("renew", "orders")  # another certificate is another's affair
    assert admin.issuer.asked == asked + 2


def test_too_soon_says_when(admin: Admin) -> None:
    async def ask() -> Response:
        actions = CertificateAdmin(admin.manager, {}, admin._revoke, wall_seconds)
        renew = certificate_routes(actions)["POST", "/certificates/renew"]
        answer = renew(Request("POST", "/certificates/renew", "name=edge", b""))
        return await answer if isinstance(answer, Awaitable) else answer

    assert admin.run(ask()).status == 200
    wait_until(lambda: admin.issuer.asked == 3)
    managed = admin.manager.get("edge")
    assert managed is not None
    wait_until(lambda: not managed.running)
    refused = admin.run(ask())
    assert refused.status == 429
    (after,) = [value for name, value in refused.headers if name == "retry-after"]
    assert 0 < int(after) <= 60


def test_a_hundred_that_fail_are_one_order_too(admin: Admin, certs: Certs) -> None:
    admin.issuer.failing = True
    certs("renew", "edge", code=1)
    assert certs("show", "edge", "--json")["state"] == "failed"
    for _ in range(20):
        certs("renew", "edge", code=1)
    assert admin.issuer.asked == 3


def test_what_came_while_another_was_revoked_is_served(admin: Admin) -> None:
    """The CA takes its time to revoke, and meanwhile the certificate is renewed."""
    reached, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_issuer: str, _serial: str) -> None:
        reached.set()
        await may_go_on.wait()

    async def revoke_and_renew() -> tuple[str, str]:
        actions = CertificateAdmin(admin.manager, {}, slowly, wall_seconds)
        before = admin.serial("edge")
        revoking = asyncio.create_task(actions.revoke("edge"))
        await reached.wait()
        actions.renew("edge")
        while admin.serial("edge") == before:
            await asyncio.sleep(0.01)
        fresh = admin.serial("edge")
        may_go_on.set()
        await revoking
        return fresh, admin.serial("edge")

    fresh, served = admin.run(revoke_and_renew())
    assert fresh == served != ""


def test_revoked_again_and_again_it_is_revoked_and_the_next_order_waits(
    admin: Admin, certs: Certs
) -> None:
    certs("revoke", "edge")
    wait_until(lambda: admin.issuer.asked == 3)
    wait_until(lambda: certs("show", "edge", "--json")["state"] == "held")
    assert certs("revoke", "edge", "--json")["state"] == "revoked"
    assert len(admin.revoked) == 2, "what is to be served no more is not, at once"
    assert admin.serial("edge") == ""
    managed = admin.manager.get("edge")
    assert managed is not None
    assert 50 < managed.due - wall_seconds() <= 60
    assert admin.issuer.asked == 3


def test_a_renewal_that_fails_says_why_and_displaces_nothing(admin: Admin, certs: Certs) -> None:
    before = admin.serial("edge")
    admin.issuer.failing = True
    assert "Vault is away" in certs("renew", "edge", code=1)
    row = certs("show", "edge", "--json")
    assert "Vault is away" in row["last_error"]
    assert row["serial"] == before == admin.serial("edge")


def test_revoke(admin: Admin, certs: Certs) -> None:
    before = admin.serial("edge")
    row = certs("revoke", "edge", "--json")
    assert row["state"] == "revoked"
    assert admin.revoked == [("internal", before)]
    wait_until(lambda: admin.serial("edge") not in {before, ""})


def test_what_the_ca_does_not_revoke_stays(admin: Admin, certs: Certs) -> None:
    before = admin.serial("edge")
    admin.issuer.failing = True
    assert "permission denied" in certs("revoke", "edge", code=1)
    assert admin.serial("edge") == before


@pytest.mark.parametrize("act", ["show", "renew", "revoke"])
def test_a_name_that_is_none(certs: Certs, act: str) -> None:
    assert "there is no certificate 'nobody'" in certs(act, "nobody", code=1)


def test_nothing_to_revoke(admin: Admin, certs: Certs) -> None:
    admin.issuer.failing = True
    admin.run(_call(lambda: admin.manager.revoked("edge")))
    assert "there is none to revoke" in certs("revoke", "edge", code=1)
    assert certs("show", "edge", "--json")["state"] == "revoked"


async def _call(function: Callable[[], object]) -> None:
    function()


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "list", "--admin", "unix:/nowhere/admin.sock"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_browser_changes_nothing(admin: Admin) -> None:
    if admin.address.startswith("unix:"):
        pytest.skip("a browser opens no Unix socket")
    host, port = admin.address.split(":")
    before = admin.serial("edge")
    for method, headers, status in (
        ("POST", {"origin": "https://evil.example"}, 403),
        ("GET", {}, 405),
        ("POST", {"host": "evil.example"}, 421),
    ):
        connection = HTTPConnection(host, int(port), timeout=5)
        connection.request(method, "/certificates/revoke?name=edge", headers=headers)
        with connection.getresponse() as response:
            assert response.status == status
        connection.close()
    assert admin.serial("edge") == before
    assert admin.revoked == []


def test_two_names_are_none(admin: Admin) -> None:
    async def ask() -> Any:
        async def refuse(_issuer: str, _serial: str) -> None:
            raise CertificateAdminFault("not here")

        actions = CertificateAdmin(admin.manager, {}, refuse, wall_seconds)
        answer = certificate_routes(actions)["POST", "/certificates/revoke"](
            Request("POST", "/certificates/revoke", "name=edge&name=orders", b"")
        )
        return await answer if isinstance(answer, Awaitable) else answer

    assert admin.run(ask()).status == 400
