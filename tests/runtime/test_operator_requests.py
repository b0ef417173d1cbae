"""SIGHUP and the refresh of keys, during the start and after it."""

from sidecar.config import model
from sidecar.context import AppContext
from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.operator_requests import HangUp, KeyRefreshes
from tests.support.waiting import until


def context() -> AppContext:
    vault = model.Vault(address="http://127.0.0.1:1", auth=model.TokenFileAuth(path="/nowhere"))
    tokens = model.Tokens(issuers=())
    return AppContext(model.Config(vault=vault, tokens=tokens, routes=()))


async def test_a_hang_up_during_the_start_is_done_once_it_is_over() -> None:
    app, done = context(), list[str]()

    async def read() -> None:
        done.append("read")

    app.refreshers.append(read)
    hang_up = HangUp(app)
    hang_up()
    hang_up()
    assert done == []
    hang_up.started(lambda: done.append("audit"), lambda: done.append("settings"))
    await until(lambda: len(done) == 3)
    assert done == ["audit", "settings", "read"]
    hang_up()
    await until(lambda: len(done) == 6)


async def test_without_one_the_end_of_the_start_does_nothing() -> None:
    done: list[str] = []
    HangUp(context()).started(lambda: done.append("audit"))
    assert done == []


async def test_a_refresh_during_the_start_says_that_there_are_no_keys_yet() -> None:
    refresh = await KeyRefreshes(context()).run()
    assert (refresh.state, refresh.complete, refresh.pending) == (KeyState.INIT, False, ())
