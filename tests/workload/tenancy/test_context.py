"""For whom code runs: per task, never leaked, and nobody's unless it is said."""

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.tenancy_world import A, B, context_of
from workload.tenancy.context import (
    ContextIterator,
    TenantContext,
    TenantUnknown,
    context_for,
    current_scope,
    current_tenant,
    request_scope,
    tenant,
    without_tenant,
)


def test_without_a_scope_there_is_no_tenant() -> None:
    for ask in (current_scope, current_tenant):
        with pytest.raises(TenantUnknown):
            ask()
    with pytest.raises(TenantUnknown), tenant(TenantContext("")):
        pass


def test_scopes_nest_and_end() -> None:
    with tenant(context_of(A)):
        with tenant(context_of(B)):
            assert current_tenant().tenant_id == B
        with request_scope(None), pytest.raises(TenantUnknown):
            current_tenant()
        assert current_tenant().tenant_id == A
    with pytest.raises(TenantUnknown):
        current_tenant()


def test_no_tenant_is_said_with_a_reason_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "workload.tenancy.audit"):
        with (
            tenant(context_of(A)),
            without_tenant("nightly vacuum"),
            pytest.raises(TenantUnknown, match="nightly vacuum"),
        ):
            current_tenant()
        assert "nightly vacuum" in caplog.text
    for reason in ("", "short", "x" * 201, "with a\nsecond line"):
        with pytest.raises(ValueError, match="reason"), without_tenant(reason):
            pass


async def test_tasks_have_their_own() -> None:
    async def run(tenant_id: str) -> str:
        with tenant(context_of(tenant_id)):
            await asyncio.sleep(0)
            inner = asyncio.create_task(asyncio.to_thread(lambda: current_tenant().tenant_id))
            await asyncio.sleep(0)
            assert current_tenant().tenant_id == tenant_id
        return await inner

    assert await asyncio.gather(*map(run, [A, B] * 20)) == [A, B] * 20


def test_a_thread_of_a_pool_has_none() -> None:
    with ThreadPoolExecutor(1) as pool:
        with tenant(context_of(A)):
            assert pool.submit(contextvars.copy_context().run, current_tenant).result()[0] == A
            with pytest.raises(TenantUnknown):
                pool.submit(current_tenant).result()
        with pytest.raises(TenantUnknown):
            pool.submit(current_tenant).result()


@pytest.mark.parametrize("begun", [True, False])
def test_a_generator_runs_and_is_closed_in_its_context(begun: bool) -> None:
    seen: list[str] = []

    class Pieces:
        def __iter__(self) -> Iterator[str]:
            while True:
                yield current_tenant().tenant_id

        def close(self) -> None:
            seen.append(current_tenant().tenant_id)

    pieces = ContextIterator(context_for(context_of(A)), Pieces())
    with tenant(context_of(B)):
        if begun:
            assert [next(pieces), next(pieces)] == [A, A]
        pieces.close()
    assert seen == [A]
    ContextIterator(context_for(None), ["no close"]).close()
