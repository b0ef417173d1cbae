"""What the start of this component joins: the entry, its status, its metrics and the Checks."""

import msgspec
import pytest

from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.module_signing import component
from sidecar.module_signing.publishers import Publishers
from tests.authz.conftest import CONFIG
from tests.module_signing.stored_entry import PublisherEntry
from tests.module_signing.test_publisher_entry import ONE, TWO, kid, pem

PLAIN = parse_config(CONFIG, "test")
MODULES = msgspec.structs.replace(PLAIN, modules=model.Modules())


async def start(context: AppContext, entry: PublisherEntry) -> list[Publishers]:
    published: list[Publishers] = []
    await component.start(context, entry, published.append)
    return published


async def test_without_modules_nothing_is_read() -> None:
    context, entry = AppContext(PLAIN), PublisherEntry({"acme": pem(ONE)})
    assert await start(context, entry) == []
    assert (entry.version, context.polls) == (0, [])


async def test_publishers_are_published_before_it_returns_and_their_status_is_shown() -> None:
    context = AppContext(MODULES)
    async with context.stack:
        (published,) = await start(context, PublisherEntry({"acme": pem(ONE)}))
        assert published.find(kid(ONE)) is not None
        assert context.health.facts["publishers"] == "ok"
        assert b"septem_publisher_keys 1.0" in context.metrics.render()


async def test_an_entry_that_can_not_be_read_prevents_the_start() -> None:
    context = AppContext(MODULES)
    async with context.stack:
        with pytest.raises(Fault, match="publishers"):
            await start(context, PublisherEntry({"withdrawn_bundles": ["rubbish"]}))


async def test_a_reload_reads_another_entry_before_it_takes_it() -> None:
    context, entry = AppContext(MODULES), PublisherEntry({"acme": pem(ONE)})
    async with context.stack:
        published = await start(context, entry)
        (prepare,) = context.reload_parts
        other = msgspec.structs.replace(
            MODULES, modules=model.Modules(path="other/publishers"), keys=model.Keys(poll_seconds=1)
        )
        entry.data = {"acme": pem(TWO)}
        part = await prepare(other)
        assert len(published) == 1, "it is read, and not in force"
        part.adopt()
        context.config = other
        assert published[-1].find(kid(TWO)) is not None
        assert published[-1].find(kid(ONE)) is None
        assert [status.name for status in context.polls] == [
            "the publishers in Vault entry secret/other/publishers"
        ]
        (await prepare(other)).adopt()
        assert len(published) == 2, "the same entry is not read or published again"


async def test_an_operator_has_the_entry_read_at_once() -> None:
    """By SIGHUP and ``POST /keys/refresh``: a bundle or a publisher may have to go now."""
    context, entry = AppContext(MODULES), PublisherEntry({"acme": pem(ONE)})
    async with context.stack:
        published = await start(context, entry)
        (refresh,) = context.refreshers
        entry.data = {"acme": pem(TWO)}
        await refresh()
        assert published[-1].find(kid(ONE)) is None
        assert [status.problem for status in context.refreshed] == [""]
        entry.data = {"withdrawn_bundles": ["rubbish"]}
        await refresh()
        (problem,) = [status.problem for status in context.refreshed]
        assert "withdrawn_bundles" in problem, "and is told what could not be read"


async def test_after_a_reload_the_entry_of_now_is_read_at_once() -> None:
    context, entry = AppContext(MODULES), PublisherEntry({"acme": pem(ONE)})
    async with context.stack:
        published = await start(context, entry)
        other = msgspec.structs.replace(MODULES, modules=model.Modules(path="other/publishers"))
        (await context.reload_parts[0](other)).adopt()
        entry.data = {"acme": pem(TWO)}
        (refresh,) = context.refreshers
        await refresh()
        assert published[-1].find(kid(TWO)) is not None
        assert [status.name for status in context.refreshed] == [
            "the publishers in Vault entry secret/other/publishers"
        ]


async def test_an_entry_that_can_not_be_read_prevents_the_reload() -> None:
    context, entry = AppContext(MODULES), PublisherEntry({"acme": pem(ONE)})
    async with context.stack:
        published = await start(context, entry)
        entry.data = {"withdrawn_bundles": ["rubbish"]}
        with pytest.raises(Fault, match="withdrawn_bundles"):
            await context.reload_parts[0](
                msgspec.structs.replace(MODULES, modules=model.Modules(path="other"))
            )
        assert len(published) == 1
