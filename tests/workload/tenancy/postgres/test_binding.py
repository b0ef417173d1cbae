"""Which statement may run is one order of questions, whatever the driver."""

from pathlib import Path

import pytest

from tests.support.tenancy_world import A, B, context_of
from workload.tenancy.context import TenantUnknown, tenant, without_tenant
from workload.tenancy.postgres.binding import BoundTransaction, TenantBinder, TenantChanged
from workload.tenancy.seal import SealKeyUnreadable, new_key, write_key


def test_a_transaction_is_bound_once_and_to_one() -> None:
    bound = BoundTransaction()
    with pytest.raises(TenantUnknown):
        bound.needed()
    with tenant(context_of(A)):
        assert bound.needed() == A
        bound.bind(A)
        assert bound.needed() is None
        for other in (tenant(context_of(B)), without_tenant("no tenant at all")):
            with other, pytest.raises(TenantChanged):
                bound.needed()
    bound.end()
    with without_tenant("no tenant at all"):
        assert bound.needed() == ""


def test_settings_are_sealed_or_said_not_to_be(tmp_path: Path) -> None:
    key = new_key()
    write_key(tmp_path / "key", key)
    binder = TenantBinder.sealed(tmp_path / "key", now=lambda: 5.0)
    assert binder.settings(A) == (A, key.seal(A, 5.0))
    assert TenantBinder.sealed(key, now=lambda: 5.0).settings("") == ("", "")
    assert TenantBinder.unsealed().settings(A) == (A, "")
    with pytest.raises(SealKeyUnreadable):
        TenantBinder.sealed(tmp_path / "none")
