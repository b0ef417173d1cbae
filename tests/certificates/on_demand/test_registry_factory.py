"""Owners that a registry finds before it is in force are told when it is, and not earlier."""

from sidecar.certificates.on_demand.registry_factory import PublishedOwners
from sidecar.common.registered_domains import RegisteredDomains

ONE = RegisteredDomains().changed({"a.example": "a"})
TWO = RegisteredDomains().changed({"a.example": "b"})


def test_what_is_found_early_waits() -> None:
    told: list[RegisteredDomains] = []
    owners = PublishedOwners(told.append, in_force=False)
    owners(ONE)
    assert told == []
    owners.put_in_force()
    owners(TWO)
    assert told == [ONE, TWO]
    owners.retire()
    owners(ONE)
    assert told == [ONE, TWO]
