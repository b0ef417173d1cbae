"""What Vault may answer to a login, and what is made of it."""

from pathlib import Path
from typing import Any, cast

import pytest

from workload.settings import JwtLogin, PkiRoots, TokenFileLogin, VaultServer
from workload.vault.client import MAX_ISSUERS, VaultApi
from workload.vault.errors import VaultCallFault, VaultRefuses
from workload.vault.session import LOGIN_PAUSE_SECONDS, VaultSession, lease_of

TOKEN = "s.abc"
ANSWERS: list[tuple[str, Any, Any]] = [
    ("for an hour", {"lease_duration": 3600, "renewable": True}, (102400.0, 103600.0, True)),
    ("not to be renewed", {"lease_duration": 3600}, (102400.0, 103600.0, False)),
    ("for ever", {"lease_duration": 0, "renewable": True}, (None, None, False)),
    ("nothing said", {}, (None, None, False)),
    ("no number", {"lease_duration": "3600"}, (None, None, False)),
]
WRONG: list[tuple[str, Any]] = [
    ("nothing", {}),
    ("no object", {"auth": [TOKEN]}),
    ("no token", {"auth": {"client_token": ""}}),
    ("a token that is no text", {"auth": {"client_token": 7}}),
    ("a token of two lines", {"auth": {"client_token": "a\r\nx-vault-namespace: b"}}),
    ("a token beyond ASCII", {"auth": {"client_token": "\u00fc"}}),
]


@pytest.mark.parametrize(("auth", "lease"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_a_lease(auth: dict[str, Any], lease: tuple[Any, ...]) -> None:
    found = lease_of({"auth": {"client_token": TOKEN, **auth}}, 100_000.0)
    assert found == (TOKEN, *lease)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("answer", [w[1] for w in WRONG], ids=[w[0] for w in WRONG])
def test_an_answer_that_is_no_login(answer: dict[str, Any]) -> None:
    with pytest.raises(VaultCallFault, match="client_token"):
        lease_of(answer, 0.0)


class Script:
    """A Vault whose tokens are numbered; it renews for as long as it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.renews_for: float | None = 3600.0
        self.keys: list[object] = []

    async def ask(self, _method: str, path: str, token: str, _body: Any = None) -> dict[str, Any]:
        self.asked.append(path)
        if path == "auth/token/renew-self":
            if self.renews_for is None:
                raise VaultRefuses("dead")
            return {"auth": auth(token, self.renews_for)}
        if path.startswith("pki/issuers"):
            return {"data": {"keys": self.keys}}
        return {"auth": auth(f"t{len(self.asked)}", 3600.0)}


def auth(token: str, seconds: float) -> dict[str, Any]:
    return {"client_token": token, "lease_duration": seconds, "renewable": True}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def session(script: Script, tmp_path: Path) -> VaultSession:
    (tmp_path / "jwt").write_text("a.b.c")
    login = JwtLogin("service", str(tmp_path / "jwt"))
    return VaultSession(login, cast("Any", script), lambda: script.now)


async def test_whoever_comes_late_takes_the_token_that_another_got(
    script: Script, session: VaultSession
) -> None:
    first = await session.token()
    script.renews_for = None
    second = await session.after_refusal(first)
    assert second not in (None, first)
    asked = len(script.asked)
    assert await session.after_refusal(first) == second
    assert len(script.asked) == asked


async def test_a_login_that_does_not_help_is_not_made_again_at_once(
    script: Script, session: VaultSession
) -> None:
    script.renews_for = None
    token = await session.after_refusal(await session.token())
    assert token is not None
    assert await session.after_refusal(token) is None
    script.now += LOGIN_PAUSE_SECONDS
    assert await session.after_refusal(token) is not None
    session.login_helped()
    assert await session.after_refusal(await session.token()) is not None


async def test_a_token_near_its_maximum_is_replaced(script: Script, session: VaultSession) -> None:
    first = await session.token()
    script.now, script.renews_for = 2401.0, 1199.0
    assert await session.token() != first, "renewed for less than it had"


@pytest.mark.parametrize(
    "keys",
    [["../../sys/seal"], ["a?b"], [7], ["a"] * (MAX_ISSUERS + 1)],
    ids=["another place", "a query", "no text", "more than are taken"],
)
async def test_a_list_of_issuers_that_is_none(
    script: Script, tmp_path: Path, keys: list[object]
) -> None:
    (tmp_path / "token").write_text("t")
    server = VaultServer("https://vault", TokenFileLogin(str(tmp_path / "token")))
    vault = VaultApi(server, lambda: 0.0)
    vault._http = cast("Any", script)
    script.keys = keys
    with pytest.raises(VaultCallFault, match="pki/issuers"):
        await vault.read_roots(PkiRoots())
    assert script.asked == ["pki/issuers?list=true"]
