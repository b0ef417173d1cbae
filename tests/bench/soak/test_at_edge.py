"""What the soak takes for a renewal: here, of one sidecar, whose admin port is real."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bench.soak import tools
from bench.soak.at_edge import AtEdge
from bench.soak.judge import Judge
from bench.soak.settings import Unit
from bench.soak.stack import Sidecar
from bench.soak.timeline import Timeline
from bench.soak.tools import Overdue, Tools
from bench.soak.world import World
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.transport.sockets import split_address
from tests.cli.admin_port import CA, Admin


@pytest.fixture
def admin() -> Iterator[Admin]:
    made = Admin("127.0.0.1:0")
    yield made
    made.stop()


@pytest.fixture
def sidecar(admin: Admin, tmp_path: Path) -> Sidecar:
    _, port = split_address(admin.address)
    unit = Unit(0, 1, 0, 0, port, tmp_path / "sidecar")
    return Sidecar(unit, cast("Any", None), [])


@pytest.fixture
def edge(sidecar: Sidecar) -> AtEdge:
    stack = tools.Stack([sidecar], *[cast("Any", None)] * 6)
    world, timeline = World(monotonic_seconds), Timeline()
    judge = Judge(timeline, monotonic_seconds, single=True)
    return AtEdge(Tools(stack, world, judge, timeline, wall_seconds))


async def test_a_certificate_that_another_sidecar_has_ordered_is_a_renewal(
    admin: Admin, sidecar: Sidecar, edge: AtEdge
) -> None:
    """It may have been seen before: the other was renewed when this one refused to be."""
    seen = admin.issuer.same = CA.material(dns_names=("app.example",))
    assert admin.serial("edge") != seen.serial
    await edge.renew_in(sidecar, "edge")
    assert admin.serial("edge") == seen.serial


async def test_a_second_one_within_a_minute_is_not_waited_for(
    admin: Admin, sidecar: Sidecar, edge: AtEdge
) -> None:
    await edge.renew_in(sidecar, "edge")
    asked = admin.issuer.asked
    await edge.renew_in(sidecar, "edge")
    assert admin.issuer.asked == asked


async def test_a_name_that_this_sidecar_was_not_asked_for_is_not_waited_for(
    admin: Admin, sidecar: Sidecar, edge: AtEdge
) -> None:
    asked = admin.issuer.asked
    await edge.renew_in(sidecar, "shop-1.soak.example")
    assert admin.issuer.asked == asked


async def test_one_that_does_not_come_is_told_with_the_words_of_its_sidecar(
    admin: Admin, sidecar: Sidecar, edge: AtEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "PATIENCE_SECONDS", 0.0)
    admin.issuer.failing = True
    with pytest.raises(Overdue, match=r"sidecar 0 has not renewed edge, and says .*'asked': "):
        await edge.renew_in(sidecar, "edge")
