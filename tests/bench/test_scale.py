"""The simulator of a fleet: how it counts, and a tiny fleet on a real OpenBao."""

import asyncio
from typing import Any

import pytest

from bench.scale import growth, scenario
from bench.scale.calls import Call, kind_of, spread_seconds, summary
from bench.scale.calls import growth as grows
from bench.scale.platform import Size
from bench.scale.report import BEGIN, END, page, put_between_marks
from bench.scale.tap import body_length, request_line

KINDS = [
    ("POST", "auth/approle/login", "login"),
    ("GET", "secret/data/iam/jwt-signing-key", "signing key"),
    ("LIST", "secret/metadata/iam/revocations", "list of revocations"),
    ("LIST", "secret/detailed-metadata/iam/revocations", "list of revocations, with versions"),
    ("GET", "secret/metadata/iam/revocations", "version of a revocation entry"),
    ("GET", "secret/metadata/iam/revocations/day-001", "version of a revocation entry"),
    ("GET", "secret/data/septem/certificates/certificates/internal/a", "stored certificate"),
    ("POST", "secret/data/septem/certificates/certificates/internal/a", "certificate stored"),
    ("GET", "secret/data/septem/certificates/leases/internal/a", "lease read"),
    ("POST", "secret/metadata/septem/certificates/leases/internal/a", "lease written"),
    ("POST", "pki/sign/edge", "order (PKI signs)"),
    ("LIST", "pki/issuers", "CRL"),
    ("GET", "pki/issuer/1/crl/delta", "CRL"),
    ("GET", "sys/health", "Vault's clock"),
    ("GET", "sys/mounts", "other"),
]


@pytest.mark.parametrize(("method", "path", "kind"), KINDS)
def test_a_call_is_named_by_what_it_is_for(method: str, path: str, kind: str) -> None:
    assert kind_of(method, path) == kind


def test_a_request_is_read_as_far_as_it_is_counted() -> None:
    head = b"GET /v1/secret/metadata/domains?list=true HTTP/1.1\r\nContent-length: 12\r\nHost: a"
    assert request_line(head) == ("LIST", "secret/metadata/domains")
    assert request_line(b"POST /v1/pki/sign/edge HTTP/1.1") == ("POST", "pki/sign/edge")
    assert (body_length(head), body_length(b"GET / HTTP/1.1")) == (12, 0)


def test_a_fleet_in_step_is_told_from_one_that_is_not() -> None:
    even = [Call(100 + number / 10, "login", 1, 200, 50) for number in range(100)]
    found = summary(even, 100, 110)
    assert found["calls_a_second"] == 10
    assert found["busiest_over_mean"] == 1
    assert found["received_bytes_a_second"] == 500
    step = [Call(103, "login", 1, 503) for _ in range(100)]
    found = summary([*step, Call(110, "login", 1, 200)], 100, 110)
    assert found["busiest_over_mean"] == 10
    assert (found["failed"], found["kinds"]) == (100, {"login": 100})


GROWTH = [
    ([10, 100], [5.0, 5.1], "constant"),
    ([10, 100], [0.0, 0.0], "constant"),
    ([10, 100], [5.0, 50.0], "linear"),
    ([10, 100, 1000], [5.0, 50.0, 5000.0], "more than linear"),
]


@pytest.mark.parametrize(("sizes", "figures", "words"), GROWTH)
def test_what_grows_how(sizes: list[int], figures: list[float], words: str) -> None:
    assert grows(sizes, figures) == words


def test_half_and_all_of_a_fleet() -> None:
    assert spread_seconds([3.0, 1.0, 2.0]) == {"half": 2.0, "p99": 3.0, "all": 3.0}
    assert spread_seconds([]) == {}


def test_a_document_without_marks_is_not_overwritten() -> None:
    assert put_between_marks(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="marks"):
        put_between_marks("a", "new")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """A whole run at a size that takes seconds."""
    plan = scenario.Plan(
        4, 1, Size(revocation_entries=2, domains=3), 2.0, 2.0, names=2, poll_seconds=0.5
    )

    async def measure() -> dict[str, Any]:
        return {
            "fleets": [await scenario.run(plan)],
            "growth": await growth.run(growth.Steps((50,), (20,), (20,), listed_seconds=2.0)),
        }

    return asyncio.run(measure())


@pytest.mark.real
def test_a_tiny_fleet_orders_once_and_notices_everything(results: dict[str, Any]) -> None:
    (fleet,) = results["fleets"]
    assert fleet["failed_starts"] == []
    assert fleet["start"]["kinds"]["login"] == 4
    assert fleet["start"]["kinds"]["order (PKI signs)"] == 1
    assert fleet["names"]["orders"] == 2, "one for each name, whoever asks for it"
    assert fleet["certificate_renewed"]["orders"] == 1
    assert fleet["key_rotated"]["noticed_by"] == fleet["revoked"]["noticed_by"] == 4
    steady = fleet["steady"]["kinds"]
    assert "other" not in steady, "every call is named"
    assert steady["list of domains"] >= 4
    for outage in (fleet["sealed"], fleet["limited"]):
        assert outage["during"]["calls"] > 0
        assert outage["noticed_by"] == outage["well_again_by"] == 4
    assert fleet["sealed"]["during"]["failed"] == fleet["sealed"]["during"]["calls"]


@pytest.mark.real
def test_a_sidecar_takes_stored_certificates_and_orders_none(results: dict[str, Any]) -> None:
    (stored,) = results["growth"]["stored"]
    assert stored["names_calls_each"] == 1
    (listed,) = results["growth"]["listed"]
    assert listed["list_bytes"] > 20 * len("shop000000.example")


@pytest.mark.real
def test_the_page_has_every_figure(results: dict[str, Any]) -> None:
    text = page(results, results)
    for words in ("4 sidecars on one Vault", "list of domains", "names on demand, stored", "grows"):
        assert words in text
    assert "None" not in text
