"""``sidecar revoke`` against a real OpenBao and a real admin port."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hvac.exceptions import InvalidPath

from demo.openbao import OpenBao
from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.admin.server import AdminServer
from sidecar.authz.token_policy import token_policy
from sidecar.common.clock import wall_seconds
from sidecar.config.load import load_config
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.verifier import verify_token
from sidecar.vault.client import VaultClient
from tests.cli.commands import Run
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
POLICY = """
path "secret/data/revoke/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/revoke/*" { capabilities = ["read"] }
"""


class Admin:
    """An admin port in a thread, whose refreshes end as a test says."""

    def __init__(self, address: str) -> None:
        self.answers: list[KeyRefresh] = []
        self.asked = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        routes = admin_routes(Health(), Metrics(), self.refresh)
        self.server = AdminServer(address, routes, on_fault=print)
        self.run(self.server.start())
        self.address = self.server.bound_address

    async def refresh(self) -> KeyRefresh:
        self.asked += 1
        return self.answers.pop(0) if self.answers else KeyRefresh("active", complete=True)

    def run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self) -> None:
        self.run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@dataclass
class World:
    """Settings of a sidecar, its admin port, and its entry in Vault."""

    bao: OpenBao
    folder: Path
    token_file: Path
    admin: Admin
    run: Run
    path: str = field(default_factory=lambda: f"revoke/{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.config = self.folder / "sidecar.yaml"
        self.write()

    def write(self, revocations: str = "revocations: {path: PATH}", more: str = "") -> None:
        self.config.write_text(
            f"vault: {{address: '{self.bao.address}', auth: {{method: token_file, path: /none}}}}\n"
            f"tokens: {{issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}{more}]}}\n"
            f"listen: {{admin: {{address: '{self.admin.address}'}}}}\n"
            f"keys: {{{revocations.replace('PATH', self.path)}}}\n"
            "routes: [{name: all, path_prefix: /}]\n"
        )

    def revoke(self, *arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        where = ("--config", self.config, "--token-file", self.token_file)
        return self.run("revoke", *arguments, *where, stdin=stdin)

    def put(self, data: dict[str, Any]) -> None:
        self.bao.client.secrets.kv.v2.create_or_update_secret(self.path, data)

    def stored(self, below: str = "") -> dict[str, Any]:
        try:
            answer = self.bao.client.secrets.kv.v2.read_secret_version(
                self.path + below, raise_on_deleted_version=True
            )
        except InvalidPath:
            return {}
        data: dict[str, Any] = answer["data"]["data"]
        return data


@pytest.fixture
def world(openbao: OpenBao, tmp_path: Path, token_file: TokenFile, run: Run) -> Iterator[World]:
    token_file.write(openbao.token_for(POLICY, name="revoker"))
    admin = Admin(f"unix:{tmp_path}/admin.sock")
    yield World(openbao, tmp_path, token_file.path, admin, run)
    admin.stop()


def test_each_kind_is_added_to_what_is_there(world: World) -> None:
    before = wall_seconds()
    world.put({"kids": ["leaked-before"]})
    code, out, err = world.revoke("kid", "k1")
    assert (code, err) == (0, "")
    assert f"Vault entry secret/{world.path}: written as version 2" in out
    assert "every process decides by it" in out
    assert world.revoke("subject", "alice")[0] == 0
    assert world.revoke("tenant", TENANT, "--before", "2026-01-01T00:00:00Z")[0] == 0
    assert world.revoke("token", "t1", "--exp", "1795000000")[0] == 0
    stored = world.stored()
    assert stored["kids"] == ["leaked-before", "k1"]
    (subject,) = stored["subjects"]
    assert (subject["iss"], subject["sub"]) == (ISSUER, "alice")
    assert before < subject["issued_before"] <= wall_seconds() + 1
    assert stored["tenants"] == [{"tenant": TENANT, "issued_before": 1767225600}]
    assert stored["tokens"] == [{"iss": ISSUER, "jti": "t1", "exp": 1795000000}]
    assert world.admin.asked == 4


def test_a_token_may_be_read_from_standard_input(world: World, issuer: Issuer) -> None:
    token = issuer.mint(jti="from-stdin", exp=1795000000)
    code, out, err = world.revoke("token", stdin=token + b"\n")
    assert (code, err) == (0, "")
    assert world.stored()["tokens"] == [{"iss": ISSUER, "jti": "from-stdin", "exp": 1795000000}]
    assert token.decode() not in out


OTHER = "https://b.example"
BELOW = f", {{issuer: {OTHER}, audiences: [{AUDIENCE}], require: [sub, iat], claims: {{jti: uti}}}}"


@pytest.mark.parametrize("claims", [{"jti": "not-it", "uti": "u-1"}, {"jti": None}, {"jti": "x"}])
def test_a_token_is_revoked_by_the_id_that_its_issuers_rules_give_it(
    world: World, issuer: Issuer, claims: dict[str, Any]
) -> None:
    """It is the id that the edge compares, which it says itself of the same token."""
    world.write(more=BELOW)
    theirs = replace(issuer, name=OTHER)
    token = theirs.mint(iss=OTHER, **claims)
    rules = token_policy(load_config(world.config).tokens)
    known = verify_token(token, KeyRing([theirs.key]), rules, NOW).claims.token_id
    assert world.revoke("token", stdin=token)[0] == 0
    (stored,) = world.stored()["tokens"]
    assert (stored["iss"], stored["jti"]) == (OTHER, known)
    assert known == claims.get("uti", known)


def test_what_is_there_already_is_not_written_again(world: World) -> None:
    assert world.revoke("kid", "k1")[0] == 0
    code, out, _ = world.revoke("kid", "k1")
    assert code == 0
    assert "says so already" in out
    assert world.admin.asked == 2, "it may not be in force everywhere yet"


def test_an_entry_that_was_deleted_is_written_again(world: World) -> None:
    world.put({"kids": ["old"]})
    world.bao.client.secrets.kv.v2.delete_latest_version_of_secret(world.path)
    assert world.revoke("kid", "k1")[0] == 0
    assert world.stored() == {"kids": ["k1"]}


def test_an_entry_below_the_path(world: World) -> None:
    assert world.revoke("kid", "k1", "--entry", "shop-7")[0] == 0
    assert world.stored("/shop-7") == {"kids": ["k1"]}
    assert world.stored() == {}


def test_two_writers_at_once_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another operator writes between the read and the write."""
    write = VaultClient.perform
    others = iter([{"kids": ["theirs"]}])

    async def late(self: Any, *arguments: Any) -> Any:
        for other in others:
            world.put(other)
        return await write(self, *arguments)

    monkeypatch.setattr(VaultClient, "perform", late)
    assert world.revoke("kid", "ours")[0] == 0
    assert world.stored() == {"kids": ["theirs", "ours"]}


REFUSED: list[tuple[str, tuple[object, ...], bytes, str]] = [
    ("a JTI without its end", ("token", "t1"), b"", "--exp is needed"),
    ("no token", ("token",), b"rubbish", "standard input is no access token"),
    ("a token without a jti", ("token",), b"e30.e30.e30", "standard input is no access token"),
    ("another issuer", ("subject", "a", "--iss", "https://no.example"), b"", "--iss must be one"),
    ("an entry in a folder", ("kid", "k", "--entry", "a/b"), b"", "without a slash"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "why"), [r[1:] for r in REFUSED],
                         ids=[r[0] for r in REFUSED])  # fmt: skip
def test_what_can_not_be_revoked_is_one_sentence(
    world: World, arguments: tuple[object, ...], stdin: bytes, why: str
) -> None:
    code, _, err = world.revoke(*arguments, stdin=stdin)
    assert (code, len(err.splitlines())) == (1, 1)
    assert why in err
    assert world.stored() == {}


def test_an_entry_that_was_written_by_hand_says_what_is_wrong(world: World) -> None:
    world.put({"tokens": '[{"jti": "x"}]'})
    code, _, err = world.revoke("kid", "k1")
    assert code == 1
    assert "nothing was written" in err
    assert "vault kv put" in err
    assert world.stored() == {"tokens": '[{"jti": "x"}]'}


def test_settings_without_revocations_and_no_vault_token(world: World, tmp_path: Path) -> None:
    world.write("poll_seconds: 10")
    code, _, err = world.revoke("kid", "k")
    assert (code, "has no keys.revocations" in err) == (1, True)
    world.write("revocations: {path: PATH, spread: false}")
    assert "spread is false" in world.revoke("kid", "k", "--entry", "a")[2]
    world.token_file = tmp_path / "none"
    assert "vault login" in world.revoke("kid", "k")[2]


def test_with_two_issuers_the_one_is_named(world: World) -> None:
    world.write(more=", {issuer: https://b.example, audiences: [b]}")
    assert "--iss must be one of" in world.revoke("subject", "alice")[2]
    assert world.revoke("subject", "alice", "--iss", "https://b.example")[0] == 0
    assert world.stored()["subjects"][0]["iss"] == "https://b.example"


def test_it_waits_until_every_process_holds_it(world: World) -> None:
    world.admin.answers = [
        KeyRefresh("active", complete=False, problems=("Vault is away",)),
        KeyRefresh("active", complete=True, pending=("worker 1",)),
    ]
    assert world.revoke("kid", "k1")[0] == 0
    assert world.admin.asked == 3


def test_it_says_what_is_not_held_in_time(world: World) -> None:
    world.admin.answers = [KeyRefresh("active", complete=False, problems=("entry x: wrong",))] * 100
    code, out, err = world.revoke(
        "kid", "k1", "--wait", "0.1", "--admin", world.admin.address, "--admin", "127.0.0.1:1"
    )
    assert code == 1
    assert "written as version 1" in out
    assert "entry x: wrong" in err
    assert "127.0.0.1:1 does not answer" in err


def test_it_need_not_wait(world: World) -> None:
    code, out, _ = world.revoke("kid", "k1", "--wait", "0")
    assert (code, world.admin.asked) == (0, 0)
    assert "written as version 1" in out
