"""Tables from issuers' words to our tenant ids that are read while the sidecar runs. Pure.

An entry is believed whole or not at all: a table with half of its words would deny tokens of
tenants that are right, and nobody would know which half. A table belongs to one issuer and to the
entry it was read from, so that no word means a tenant by another issuer's table, and none by the
entry that a reload has replaced.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sidecar.common.errors import Fault
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.policy import IssuerPolicy, TokenPolicy

MAX_WORDS = 10_000
MAX_WORD_LENGTH = 512
MAX_TABLE_BYTES = 1_048_576
"""All words, in UTF-8, and their tenant ids together."""
_MAX_NAMED = 5
_SHOWN = 64
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

TenantTable = Mapping[str, str]
"""Our tenant id by the issuer's word for it."""
TenantTables = Mapping[TableSource, TenantTable]


class TenantTableFault(Fault):
    """An entry is no table of tenants."""


def read_tenant_table(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the table that an entry holds; an empty one means no tenant.

    Raises ``TenantTableFault``, which names the fields that are wrong and quotes no value: an
    entry that was meant for something else may hold secrets.
    """
    if len(data) > MAX_WORDS:
        raise TenantTableFault(f"has {len(data)} words, and at most {MAX_WORDS} are read")
    problems = list(_problems(data))
    if problems:
        more = len(problems) - _MAX_NAMED
        rest = [f"{more} more are wrong"] if more > 0 else []
        raise TenantTableFault("; ".join(problems[:_MAX_NAMED] + rest))
    size = sum(len(word.encode()) + len(tenant) for word, tenant in data.items())
    if size > MAX_TABLE_BYTES:
        raise TenantTableFault(f"holds {size} bytes, and at most {MAX_TABLE_BYTES} are read")
    return dict(data)


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    for word, tenant in data.items():
        shown = word[:_SHOWN]
        if not 0 < len(word) <= MAX_WORD_LENGTH or not word.isprintable():
            yield f"the field {shown!r} is no text of 1 to {MAX_WORD_LENGTH} printable characters"
        elif not isinstance(tenant, str) or not _UUID.fullmatch(tenant):
            yield f"the value of {shown!r} is no tenant id (a UUID in lower case)"


def with_tenant_tables(policy: TokenPolicy, tables: TenantTables) -> TokenPolicy:
    """Return the rules with these tables; an issuer whose table is not among them has none.

    ``policy`` itself where no issuer's table is read from anywhere.
    """
    issuers = {issuer: _with_table(rules, tables) for issuer, rules in policy.issuers.items()}
    if all(issuers[issuer] is rules for issuer, rules in policy.issuers.items()):
        return policy
    return msgspec.structs.replace(policy, issuers=issuers)


def _with_table(rules: IssuerPolicy, tables: TenantTables) -> IssuerPolicy:
    if rules.mapping is None:
        return rules
    tenant = rules.mapping.tenant
    if tenant.source is None:
        return rules
    placed = msgspec.structs.replace(tenant, table=tables.get(tenant.source))
    mapping = msgspec.structs.replace(rules.mapping, tenant=placed)
    return msgspec.structs.replace(rules, mapping=mapping)
