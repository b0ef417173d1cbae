"""A tenant's user and password, of one key."""

import hashlib
import hmac
from pathlib import Path

import pytest

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.seal import SealKey, write_key

KEY = SealKey("k1", b"k" * 32)
A = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def test_a_password_is_an_hmac_of_role_and_tenant() -> None:
    login = TenantLogins(KEY, "orders").login(A)
    said = f"septem-clickhouse-login-v1\nk1\norders\n{A}".encode()
    assert login.user == f"orders-{A}"
    assert login.password == hmac.new(KEY.key, said, "sha256").hexdigest()
    assert login.hash() == hashlib.sha256(login.password.encode()).hexdigest()
    assert login.password not in repr(login)


def test_each_part_makes_another_password() -> None:
    b = A.replace("7", "8")
    passwords = {
        TenantLogins(key, role).login(tenant).password
        for key in (KEY, SealKey("k2", KEY.key), SealKey("k1", b"l" * 32))
        for role in ("orders", "reports")
        for tenant in (A, b)
    }
    assert len(passwords) == 12
    # The seal of PostgreSQL is of the same key, and is no password here.
    assert KEY.seal(A, 0).rpartition(".")[2] not in passwords


def test_users_are_distinct_and_fit_basic_authentication() -> None:
    logins = TenantLogins(KEY, "orders", "text")
    tenants = ["a", "A", "a:b", "a/b", "a|b", "a@b", "a.b", "a-b"]
    users = {logins.login(each).user for each in tenants}
    assert len(users) == len(tenants)
    assert not any(":" in each or "`" in each for each in users)
    assert logins.login("a:b").user == "orders-a%3Ab"


def test_one_tenant_has_one_spelling() -> None:
    assert TenantLogins(KEY, "orders").login(A.upper()) == TenantLogins(KEY, "orders").login(A)


@pytest.mark.parametrize("tenant", ["", "x", A + " ", A + "\n", "'", A[:-1], A.replace("-", "")])
def test_what_is_no_tenant_has_no_login(tenant: str) -> None:
    with pytest.raises(SettingsFault):
        TenantLogins(KEY, "orders").login(tenant)
    with pytest.raises(SettingsFault):
        TenantLogins(KEY, "orders", "text").login(f"'{tenant}")


def test_the_key_is_a_file_s(tmp_path: Path) -> None:
    write_key(tmp_path / "key", KEY)
    assert TenantLogins.of_file(tmp_path / "key", "o").login(A) == TenantLogins(KEY, "o").login(A)
    with pytest.raises(SettingsFault):
        TenantLogins(KEY, "a`b")
