"""Tenants' own limits in Vault: how they may be written, and that they change while it runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from sidecar.config.limits import TenantLimitEntry
from sidecar.limits.bucket import Limit
from sidecar.limits.tenant_limits import MAX_TENANTS, TenantLimitPoller, read_tenant_limits
from sidecar.vault.errors import VaultNotFound

ONE = "6b1f2c1e-0000-4000-8000-000000000001"
TWO = "6b1f2c1e-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("2000", (2000, 1, 2000)),
        (2000, (2000, 1, 2000)),
        ("300/60s", (300, 60, 300)),
        (" 2000/1s burst 5000 ", (2000, 1, 5000)),
        ({"requests": 10, "per_seconds": 2, "burst": 3}, (10, 2, 3)),
    ],
)
def test_a_rate_is_read(value: object, rate: tuple[int, int, int]) -> None:
    limits, problems = read_tenant_limits({ONE: value})
    assert problems == ()
    limit = limits[ONE]
    assert (limit.requests, limit.per_seconds, limit.burst) == rate


@pytest.mark.parametrize(
    "value",
    [
        "",
        "fast",
        "0",
        "-5",
        "1e3",
        "2000/0s",
        "2000/99999s",
        True,
        None,
        [],
        {"requests": 0},
        {"x": 1},
        1.5,
        float("nan"),
        float("inf"),
        pytest.param(10**5000, id="5,001 digits"),
        "99999999999",
        "\u0665",
        "1/86400s burst 32",
        {"requests": 1, "per_seconds": 86_400, "burst": 1_000_000_000},
        {"requests": -1},
        {"requests": float("nan")},
        {"requests": 5, "burst": 0},
    ],
)
def test_what_is_no_rate_leaves_the_tenant_the_common_limit(value: object) -> None:
    limits, problems = read_tenant_limits({ONE: value, TWO: "5"})
    assert limits.keys() == {TWO}
    assert len(problems) == 1
    assert ONE in problems[0]
    assert "300/60s" in problems[0], "it says how to write one"


def test_a_field_that_is_no_tenant_is_named_and_can_t_steer_a_terminal() -> None:
    limits, problems = read_tenant_limits({"acme\x1b[2J": "5"})
    assert limits == {}
    assert "\x1b" not in problems[0]


def test_a_million_fields_are_bounded_and_those_that_are_read_apply() -> None:
    data = {f"{number:08x}-0000-4000-8000-000000000000": "5" for number in range(MAX_TENANTS + 3)}
    limits, problems = read_tenant_limits(data)
    assert len(limits) == MAX_TENANTS
    assert problems == ("has more than 100000 tenants; the others keep their limits",)
    limits, problems = read_tenant_limits({f"field {n}": "x" for n in range(50_000)} | {ONE: "5"})
    assert limits.keys() == {ONE}, "what is wrong before it loses nothing"
    assert len(problems) == 21
    assert problems[-1] == "49980 more fields are wrong"


class Secret(NamedTuple):
    data: Mapping[str, Any]
    version: int
    written_at: float


class Entry:
    """An entry of Vault that the test writes."""

    def __init__(self) -> None:
        self.answer: Secret | Exception = VaultNotFound("none")

    async def read_kv(self, mount: str, path: str) -> Secret:
        assert (mount, path) == ("secret", "limits/tenants")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_the_entry_changes_while_it_runs_and_stays_in_force_while_it_is_away() -> None:
    entry, published = Entry(), list[Mapping[str, Limit]]()
    poller = TenantLimitPoller(
        TenantLimitEntry(), entry, poll_seconds=1, jitter=lambda: 0.5, publish=published.append
    )
    await poller.refresh()
    assert published == [], "no entry: no tenant has a limit of its own"
    entry.answer = Secret({ONE: "5"}, 1, 1.0)
    await poller.refresh()
    await poller.refresh()
    assert [each[ONE].requests for each in published] == [5], "once for each change"
    entry.answer = OSError("gone")
    await poller.refresh()
    assert "can't" in poller.status.problem or poller.status.problem
    assert len(published) == 1
    entry.answer = VaultNotFound("deleted")
    await poller.refresh()
    assert published[-1] == {}
