"""What all issuers have in common: the table of them, and advice when to renew."""

import pytest

from sidecar.certificates.issuers.base import (
    AdvisesRenewal,
    FindsExisting,
    IssuerFault,
    Issuers,
    RenewalAdvice,
    advise,
)
from sidecar.common.errors import Fault
from tests.support.managed_world import Nobody, World
from workload.x509.material import Material

MATERIAL = Material(b"", b"", ("a.example",), "1", 0.0, 1e10)


def test_an_issuer_is_found_by_its_name() -> None:
    first, second = Nobody(), Nobody()
    issuers = Issuers({"first": first, "second": second})
    assert issuers["second"] is second
    assert list(issuers) == [first, second]


def test_a_name_that_is_none_is_a_fault_that_says_where_to_look() -> None:
    with pytest.raises(IssuerFault, match=r"no issuer 'nobody' .* \(issuers\[\]\.name\)") as fault:
        Issuers({"first": Nobody()})["nobody"]
    assert not fault.value.retryable


async def test_advice_is_asked_of_those_that_give_it() -> None:
    world = World()
    assert isinstance(world, AdvisesRenewal)
    assert isinstance(world, FindsExisting)
    assert not isinstance(Nobody(), AdvisesRenewal | FindsExisting)
    world.advice = [RenewalAdvice(1.0, 2.0), Fault("no answer")]
    assert await advise(world, MATERIAL) == RenewalAdvice(1.0, 2.0)
    with pytest.raises(Fault, match="no answer"):
        await advise(world, MATERIAL)
    assert await advise(Nobody(), MATERIAL) is None
