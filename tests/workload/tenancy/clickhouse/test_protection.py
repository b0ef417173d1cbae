"""The SQL of the first wall, as text; ClickHouse's engine reads it in ``test_engine``."""

from pathlib import Path

import pytest
from sqlglot import exp, parse_one

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.protection import (
    PINNED,
    SETTING,
    ClickHouseProtection,
    tables_of,
    tenant_user,
)
from workload.tenancy.seal import SealKey

A = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
LOGINS = TenantLogins(SealKey("k1", b"k" * 32), "orders")
BASE = ClickHouseProtection(tables_of(["app.contacts"]), "orders")
CONDITION = "`tenant_id` = toUUIDOrNull(getSetting('SQL_tenant_id'))"
TABLE = "`app`.`contacts`"


def test_a_table_is_protected_line_by_line() -> None:
    policy = f"ON {TABLE} FOR SELECT USING"
    assert BASE._replace(shared=tables_of(["app.countries"]), readers=("reports",)).up() == (
        "CREATE ROLE IF NOT EXISTS `orders`;\n"
        "CREATE SETTINGS PROFILE OR REPLACE `orders_tenants` SETTINGS allow_ddl = 0 CONST, "
        "allow_introspection_functions = 0 CONST, query_cache_share_between_users = 0 CONST, "
        "optimize_using_constraints = 0 CONST, log_queries = 1 CONST TO `orders`;\n"
        f"CREATE ROW POLICY OR REPLACE septem_nobody {policy} 0 AS PERMISSIVE TO ALL;\n"
        f"CREATE ROW POLICY OR REPLACE septem_tenant_only {policy} {CONDITION} "
        "AS RESTRICTIVE TO `orders`;\n"
        f"CREATE ROW POLICY OR REPLACE septem_tenant {policy} {CONDITION} "
        "AS PERMISSIVE TO `orders`;\n"
        f"CREATE ROW POLICY OR REPLACE septem_all {policy} 1 AS PERMISSIVE TO `reports`;\n"
        f"ALTER TABLE {TABLE} ADD CONSTRAINT IF NOT EXISTS septem_tenant CHECK {CONDITION};\n"
        f"REVOKE ALL ON {TABLE} FROM `orders`;\n"
        f"GRANT SELECT, INSERT ON {TABLE} TO `orders`;\n"
        "GRANT SELECT ON `app`.`countries` TO `orders`;\n"
    )


def test_it_is_undone() -> None:
    up, down = BASE._replace(readers=("reports",)).up(), BASE.down()
    made = {line.split()[5] for line in up.splitlines() if line.startswith("CREATE ROW POLICY")}
    dropped = {line.split()[5] for line in down.splitlines() if line.startswith("DROP ROW POLICY")}
    assert made == dropped
    assert "DROP CONSTRAINT IF EXISTS septem_tenant" in down
    assert f"REVOKE ALL ON {TABLE} FROM `orders`" in down


def test_an_empty_tenant_is_nobodys() -> None:
    condition = BASE._replace(type="text", column="org").condition()
    assert condition == f"(`org` = getSetting('{SETTING}')) AND (`org` != '')"


@pytest.mark.parametrize("kind", ["uuid", "text"])
def test_the_condition_is_a_condition_on_the_tenant_column_alone(kind: str) -> None:
    protection = BASE._replace(type="text") if kind == "text" else BASE
    parsed = parse_one(protection.condition(), read="clickhouse")
    assert {each.name for each in parsed.find_all(exp.Column)} == {"tenant_id"}
    assert isinstance(parsed, exp.EQ | exp.And)


def test_without_a_check_nothing_judges_inserts() -> None:
    assert "CONSTRAINT" not in BASE._replace(checked=False).up()


def test_a_tenants_user_has_its_setting_pinned() -> None:
    login = LOGINS.login(A)
    assert tenant_user(LOGINS, A) == (
        f"CREATE USER OR REPLACE `orders-{A}` IDENTIFIED WITH sha256_hash BY '{login.hash()}' "
        f"SETTINGS PROFILE `orders_tenants`, SQL_tenant_id = '{A}' CONST;\n"
        f"GRANT `orders` TO `orders-{A}`;\n"
        f"SET DEFAULT ROLE `orders` TO `orders-{A}`;\n"
    )
    assert login.password not in tenant_user(LOGINS, A)


@pytest.mark.parametrize(
    "protection",
    [
        BASE._replace(tables=()),
        BASE._replace(role="a`b"),
        BASE._replace(column="a b"),
        BASE._replace(readers=("orders",)),
        BASE._replace(readers=("a b",)),
        BASE._replace(shared=BASE.tables),
    ],
)
def test_what_can_not_be_meant(protection: ClickHouseProtection) -> None:
    with pytest.raises(SettingsFault):
        protection.up()
    with pytest.raises(SettingsFault):
        tables_of(["contacts"])


def test_tables_are_named_once() -> None:
    assert len(tables_of(["a.t", "a.t", "a.u"])) == 2


def test_the_table_of_audit_lines_asks_the_same_setting() -> None:
    """`deploy/clickhouse/audit.sql`: a tenant's user reads its audit lines by the same setting."""
    text = (Path(__file__).parents[4] / "deploy/clickhouse/audit.sql").read_text()
    assert f"USING (tenant = getSetting('{SETTING}')) AND (tenant != '')" in text
    assert "SQL_septem_tenant" not in text
    for role in ("septem_tenant_reader", "septem_auditor"):
        assert f"TO {role};" in text
    assert "ON septem.audit\n    USING 0 TO ALL;" in text
    assert PINNED["allow_ddl"] == 0
