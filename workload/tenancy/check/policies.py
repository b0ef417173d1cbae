"""Rules about policies: does each one hold rows to the tenant's? Pure, but for the query.

What a policy's expression means is undecidable in general, so it is compared with the forms
that are known to mean it, as PostgreSQL prints them; whatever else it is, it is reported.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from workload.tenancy.check.findings import Finding, Severity

SQL = """
SELECT t.name, p.polname, p.polpermissive, p.polcmd::text, quote_ident(params.tenant_column),
  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
  0 = ANY (p.polroles) OR EXISTS (SELECT FROM app, unnest(p.polroles) AS r(oid)
    WHERE pg_has_role(app.oid, nullif(r.oid, 0), 'MEMBER')),
  0 = ANY (p.polroles)
FROM pg_policy p JOIN tenant_tables t ON t.oid = p.polrelid, params ORDER BY 1, 2"""
FUNCTION_SQL = """
SELECT p.prosrc LIKE '%%app.tenant_seal%%' AND p.prosecdef FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'septem_tenancy' AND p.proname = 'tenant_id' AND p.pronargs = 0"""
_SETTING = r"current_setting\('app\.tenant_id'::text(, true)?\)"
_SETTING_VALUE = rf"\(?(NULLIF\({_SETTING}, ''::text\)|{_SETTING})\)?(::(uuid|text))?"
_FUNCTION = r"septem_tenancy\.tenant_id\(\)"
_WRAPPED = r"\( SELECT {0} AS [a-z_]+\)"


class Policy(NamedTuple):
    """A policy of a table with tenants, as the catalogs have it."""

    table: str
    name: str
    permissive: bool
    command: str
    column: str
    using: str | None
    check: str | None
    is_applications: bool
    is_everybodys: bool


def judge(policies: Sequence[Policy], *, sealed: bool) -> list[Finding]:
    """Return what is wrong with policies; ``sealed``: the function asks for a seal."""
    found: list[Finding] = []
    for policy in policies:
        held = [
            other
            for other in policies
            if other.table == policy.table and not other.permissive and _holds_all(other)
        ]
        if policy.permissive and not held:
            found += _widens(policy)
        if _believes_setting(policy, sealed=sealed):
            mend = f"septem tenancy sql '{policy.table}' (not --unsealed), and septem tenancy seal"
            found.append(
                Finding(
                    "tenant_can_be_forged",
                    "hole",
                    f"{policy.name} on {policy.table}",
                    "believes app.tenant_id alone, which any SQL of the role may set",
                    mend,
                )
            )
    return found


def _widens(policy: Policy) -> Iterable[Finding]:
    name = f"{policy.name} on {policy.table}"
    severity: Severity = "hole" if policy.is_applications else "note"
    mend = f"DROP POLICY it, or write it as septem tenancy sql '{policy.table}' does"
    reads, writes = policy.command in "*rwd", policy.command in "*aw"
    if reads and not is_tenants(policy.using, policy.column):
        detail = f"USING {policy.using} lets through more than the tenant's rows, or may"
        yield Finding("policy_widens", severity, name, detail, mend)
    if not writes:
        return
    if policy.check is not None and not is_tenants(policy.check, policy.column):
        detail = f"WITH CHECK {policy.check} lets rows of another tenant be written, or may"
        yield Finding("policy_check_widens", severity, name, detail, mend)
    elif policy.check is None and policy.command == "a":
        yield Finding("policy_without_check", severity, name, "INSERT without WITH CHECK", mend)
    elif policy.check is None:
        detail = "no WITH CHECK: USING stands in for it, until somebody changes that"
        yield Finding("policy_without_check", "note", name, detail, mend)


def _holds_all(policy: Policy) -> bool:
    return (
        policy.command == "*"
        and policy.is_everybodys
        and is_tenants(policy.using, policy.column)
        and (policy.check is None or is_tenants(policy.check, policy.column))
    )


def is_tenants(expression: str | None, column: str) -> bool:
    """Whether an expression, or a part that must hold, compares the column with the tenant."""
    return expression is not None and any(
        _form(column, _FUNCTION).fullmatch(part) or _form(column, _SETTING_VALUE).fullmatch(part)
        for part in _conjuncts(expression)
    )


def _believes_setting(policy: Policy, *, sealed: bool) -> bool:
    texts = [each for each in (policy.using, policy.check) if each is not None]
    by_setting = any(re.search(_SETTING, each) for each in texts)
    by_function = any(re.search(_FUNCTION, each) for each in texts)
    return by_setting or (by_function and not sealed)


def _form(column: str, value: str) -> re.Pattern[str]:
    quoted = re.escape(column)
    either = f"(?:{value}|{_WRAPPED.format(value)})"
    left = rf"\(?{quoted}\)?(?:::text)?"
    return re.compile(rf"\(*(?:{left} = {either}|{either} = {left})\)*")


def _conjuncts(expression: str) -> list[str]:
    """Split ``(a AND b)`` at its own level; anything else is one part."""
    text = expression
    while text.startswith("(") and _closes(text) == len(text) - 1:
        inner = text[1:-1]
        parts = _split(inner, " AND ")
        if len(parts) > 1 and len(_split(inner, " OR ")) == 1:
            return [each for part in parts for each in _conjuncts(part)]
        if not inner.startswith("("):
            break
        text = inner
    return [expression]


def _closes(text: str) -> int:
    return next((at for at, depth in _depths(text) if depth == 0), -1)


def _split(text: str, word: str) -> list[str]:
    ends = [at for at, depth in _depths(text) if depth == 0 and text.startswith(word, at)]
    starts = [0, *(at + len(word) for at in ends)]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]


def _depths(text: str) -> Iterable[tuple[int, int]]:
    """Yield each position with the depth of parentheses behind it, outside of quotes."""
    depth, quote = 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
            continue
        if character in "'\"":
            quote = character
            continue
        depth += {"(": 1, ")": -1}.get(character, 0)
        yield at, depth
