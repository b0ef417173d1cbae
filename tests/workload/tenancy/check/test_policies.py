"""A policy is the tenant's if PostgreSQL prints it in a form that is known to be."""

import pytest

from workload.tenancy.check.policies import Policy, is_tenants, judge

FORM = "(tenant_id = ( SELECT septem_tenancy.tenant_id() AS tenant_id))"
SETTING = "(tenant_id = (current_setting('app.tenant_id'::text, true))::uuid)"
POLICY = Policy("t", "p", True, "*", "tenant_id", FORM, FORM, True, True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (FORM, True),
        ("(tenant_id = septem_tenancy.tenant_id())", True),
        (SETTING, True),
        (
            "(tenant_id = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)",
            True,
        ),
        ("(tenant_id = ( SELECT (current_setting('app.tenant_id'::text))::uuid AS x))", True),
        ("((tenant_id)::text = current_setting('app.tenant_id'::text, true))", True),
        ("((current_setting('app.tenant_id'::text))::uuid = tenant_id)", True),
        (f"({FORM} AND (deleted IS NULL))", True),
        (f"((a OR b) AND {FORM})", True),
        (f"({FORM} OR (deleted IS NULL))", False),
        (f"(({FORM} AND a) OR b)", False),
        (f"({FORM} AND a OR b)", False),
        (f"((name = ' AND {FORM} AND '::text) AND a)", False),
        (f"(NOT {FORM})", False),
        ("(tenant_id <> septem_tenancy.tenant_id())", False),
        ("(tenant_id = other.tenant_id())", False),
        ("(other_id = septem_tenancy.tenant_id())", False),
        ("(tenant_id = COALESCE(septem_tenancy.tenant_id(), tenant_id))", False),
        ("true", False),
        (None, False),
        ("", False),
    ],
)
def test_an_expression_is_the_tenants_by_its_form(expression: str | None, expected: bool) -> None:
    assert is_tenants(expression, "tenant_id") is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"using": "true"}, {("policy_widens", "hole")}),
        ({"using": "true", "is_applications": False}, {("policy_widens", "note")}),
        ({"check": "true"}, {("policy_check_widens", "hole")}),
        ({"check": None}, {("policy_without_check", "note")}),
        ({"command": "a", "using": None, "check": None}, {("policy_without_check", "hole")}),
        ({"command": "a", "using": None}, set()),
        ({"command": "r", "check": None}, set()),
        ({"command": "d", "check": None, "using": "true"}, {("policy_widens", "hole")}),
        ({"using": SETTING}, {("tenant_can_be_forged", "hole")}),
        ({"permissive": False, "using": "true"}, set()),
    ],
)
def test_each_policy_is_judged(changes: dict[str, object], expected: set[tuple[str, str]]) -> None:
    found = judge([POLICY._replace(**changes)], sealed=True)  # type: ignore[arg-type]
    assert {(each.rule, each.severity) for each in found} == expected


def test_a_restrictive_policy_holds_the_others() -> None:
    wide = POLICY._replace(name="wide", using="true", check="true")
    strict = POLICY._replace(name="strict", permissive=False)
    assert judge([wide, strict], sealed=True) == []
    for changes in (
        {"table": "other"},
        {"command": "r"},
        {"is_everybodys": False},
        {"using": "true"},
        {"check": "true"},
    ):
        weaker = strict._replace(**changes)
        assert {each.name for each in judge([wide, weaker], sealed=True)} == {"wide on t"}


def test_a_function_without_seal_can_be_forged() -> None:
    (found,) = judge([POLICY], sealed=False)
    assert (found.rule, found.severity) == ("tenant_can_be_forged", "hole")
