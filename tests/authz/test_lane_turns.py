"""A signature check waits for its turn, on whichever way to it; nothing else does."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sidecar.authz.service import CheckService
from sidecar.config import model
from sidecar.tokens import verifier
from tests.authz.test_stateful import Life, settle
from tests.authz.world import RUBBISH, TOKENS, Ask


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The tokens that were verified, in order."""
    seen: list[bytes] = []
    verify = verifier.verify_token

    def watching(token: bytes, *arguments: Any, **named: Any) -> Any:
        seen.append(token)
        return verify(token, *arguments, **named)

    monkeypatch.setattr("sidecar.authz.evaluate.verify_token", watching)
    return seen


@pytest.fixture
def service() -> CheckService:
    life = Life(1)
    cookie = model.RouteSettings(name="c", path_prefix="/c", token_from=("cookie:session",))
    life.change(routes=(model.RouteSettings(name="a", path_prefix="/a", auth="optional"), cookie))
    life.lane.busy = True
    return life.old.service


ONE, TWO = TOKENS[0], TOKENS[1]
WAITING = [
    ("a target that was not seen", lambda _: None, Ask(token=ONE)),
    ("one that was", lambda ask: ask(Ask()), Ask(token=ONE)),
    ("a forged token", lambda ask: ask(Ask()), Ask(token=RUBBISH)),
    ("in a cookie", lambda _: None, Ask("/c", token=ONE, place="cookie:session")),
    ("in lower case", lambda ask: ask(Ask()), Ask(token=ONE, place="other scheme")),
    ("in raw headers", lambda ask: ask(Ask()), Ask(token=ONE, raw_headers=True)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "ask"), [row[1:] for row in WAITING], ids=[r[0] for r in WAITING]
)
def test_what_waits(
    service: CheckService,
    verified: list[bytes],
    before: Callable[[Callable[[Ask], Any]], Any],
    ask: Ask,
) -> None:
    before(lambda first: settle(service.handle(first.encoded())))
    answer = service.handle(ask.encoded())
    assert isinstance(answer, Awaitable)
    assert verified == [], "not before its turn"
    settle(answer)
    assert ask.token is not None
    assert verified == [ask.token.raw]


def test_what_does_not_wait(service: CheckService, verified: list[bytes]) -> None:
    settle(service.handle(Ask(token=ONE).encoded()))
    for ask in (
        Ask(), Ask("/nowhere"), Ask(token=ONE), Ask("/a/new", token=ONE), Ask("/c"),
        Ask(token=ONE, place="other scheme"), Ask("/c", token=ONE, place="cookie:session"),
    ):  # fmt: skip
        assert isinstance(service.handle(ask.encoded()), bytes), ask
    assert verified == [ONE.raw]
    waiting = service.handle(Ask(token=TWO).encoded())
    assert isinstance(waiting, Awaitable)
    settle(waiting)
    assert verified == [ONE.raw, TWO.raw]
