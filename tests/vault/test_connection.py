"""One login and its calls, with a token from a file: no server is needed to see the rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import pytest

from sidecar.config import model
from sidecar.vault.connection import VaultConnection
from sidecar.vault.errors import VaultFault, VaultForbidden, VaultNotFound, VaultUnreachable


class World:
    """A connection with a token file, and the tokens that its calls were made with."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.file = folder / "token"
        self.file.write_text("first")
        self.now = 0.0
        self.sent: list[str] = []
        given = {"address": "https://vault.internal:8200/", **settings}
        auth = model.TokenFileAuth(path=str(self.file))
        self.connection = VaultConnection(model.Vault(auth=auth, **given), lambda: self.now)

    def call(self, refused: Callable[[str], bool] = lambda _token: False) -> str:
        def function(client: Any) -> str:
            self.sent.append(client.token)
            if refused(client.token):
                raise hvac.exceptions.Forbidden("with a secret in it")
            return "done"

        return self.connection.run("secret/data/x", function)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_refused_token_is_replaced_once_by_what_the_agent_has_written(world: World) -> None:
    assert world.call() == "done"
    world.file.write_text("another")
    assert world.call(lambda token: token == "first") == "done"
    assert world.sent == ["first", "another"], "a new file is seen before the call already"


def test_a_file_that_is_written_during_the_call_is_read_for_the_second_try(world: World) -> None:
    def refuse(token: str) -> bool:
        world.file.write_text("another")
        return token == "first"

    assert world.call(refuse) == "done"
    assert world.sent == ["first", "another"]


def test_a_refusal_that_a_login_does_not_help_is_final_and_logins_are_rare(world: World) -> None:
    for tries in (2, 3, 4):
        with pytest.raises(VaultForbidden, match=r"vault\.internal:8200/, secret/data/x: "):
            world.call(lambda _token: True)
        assert len(world.sent) == tries, "once more after the first refusal, then not for a minute"
    world.now = 61.0
    with pytest.raises(VaultForbidden):
        world.call(lambda _token: True)
    assert len(world.sent) == 6


RAISED: list[tuple[str, Exception, type[VaultFault]]] = [
    ("nothing there", hvac.exceptions.InvalidPath("secret"), VaultNotFound),
    ("no connection", ConnectionRefusedError("secret"), VaultUnreachable),
    ("a fault is passed on", VaultNotFound("as it is"), VaultNotFound),
]


@pytest.mark.parametrize(("raised", "fault"), [r[1:] for r in RAISED], ids=[r[0] for r in RAISED])
def test_only_faults_leave_it(world: World, raised: Exception, fault: type[VaultFault]) -> None:
    def function(_client: Any) -> None:
        raise raised

    with pytest.raises(fault) as caught:
        world.connection.run("x", function)
    assert "secret" not in str(caught.value)


def test_a_file_that_a_connection_needs_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pem")
    auth = model.CertAuth(certificate_file=gone, key_file=gone)
    settings = model.Vault(address="https://vault.internal", auth=auth)
    connection = VaultConnection(settings, lambda: 0.0)
    with pytest.raises(VaultUnreachable, match=r"gone\.pem"):
        connection.run("x", lambda _client: None)


def test_its_clients_take_nothing_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "of the environment")
    monkeypatch.setenv("VAULT_ADDR", "https://elsewhere.example")
    monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere")
    world = World(tmp_path, namespace="team", timeout_seconds=3)
    first = world.connection.run("x", lambda client: client)
    world.file.write_text("another")
    second = world.connection.run("x", lambda client: client)
    assert (first.token, second.token) == ("first", "another")
    assert first.url == "https://vault.internal:8200"
    assert first.adapter.namespace == "team"
    assert first.adapter._kwargs["timeout"] == 3
    assert first.allow_redirects is False
    assert first.session is second.session, "connections are kept"


def test_a_socket_is_no_host(tmp_path: Path) -> None:
    world = World(tmp_path, address="unix:/run/vault.sock")
    client = world.connection.run("x", lambda client: client)
    assert client.url == "http://localhost"
    assert world.connection.where("x") == "Vault at unix:/run/vault.sock, x"


def test_what_no_call_uses_is_closed_with_the_client_and_a_later_call_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart inside the process left one connection behind each time."""
    world.connection.close_idle()  # before the first call there is none
    assert world.call() == "done"
    closed: list[bool] = []
    monkeypatch.setattr(world.connection._session, "close", lambda: closed.append(True))
    world.connection.close_idle()
    assert closed == [True]
    assert world.call() == "done"
