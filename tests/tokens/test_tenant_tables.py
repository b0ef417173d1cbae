"""Tables of tenants that are read while the sidecar runs: believed whole, or not at all."""

from typing import Any

import pytest

from sidecar.tokens.claim_path import parse_claim_path
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.mapping import ClaimsMapping, TableSource, TenantPlace
from sidecar.tokens.policy import IssuerPolicy, TokenPolicy
from sidecar.tokens.tenant_tables import (
    MAX_TABLE_BYTES,
    MAX_WORD_LENGTH,
    MAX_WORDS,
    TenantTableFault,
    read_tenant_table,
    with_tenant_tables,
)

ONE = "6b1f2c1e-0000-4000-8000-000000000001"
TWO = "6b1f2c1e-0000-4000-8000-000000000002"
LONGEST = "w" * MAX_WORD_LENGTH
_ENTRY_BYTES = MAX_WORD_LENGTH + len(ONE)


def sized(size: int) -> dict[str, str]:
    """Return a table of so many bytes."""
    whole, rest = divmod(size, _ENTRY_BYTES)
    table = {f"{number:0{MAX_WORD_LENGTH}}": ONE for number in range(whole - 1)}
    half = (rest + _ENTRY_BYTES) // 2
    table["a" * (half - len(ONE))] = ONE
    table["b" * (rest + _ENTRY_BYTES - half - len(ONE))] = ONE
    return table


@pytest.mark.parametrize(
    "table",
    [
        pytest.param({}, id="no word: no tenant"),
        pytest.param({"org_7Xk": ONE, "acme gmbh": TWO, "b\u00fcro": ONE}, id="words"),
        pytest.param({ONE: TWO}, id="a tenant id as a word"),
        pytest.param({LONGEST: ONE}, id="the longest word"),
        pytest.param({str(n): ONE for n in range(MAX_WORDS)}, id="as many as may be"),
        pytest.param(sized(MAX_TABLE_BYTES), id="as large as may be"),
    ],
)
def test_a_table_is_read(table: dict[str, str]) -> None:
    assert read_tenant_table(table) == table


UUID_SAID = "no tenant id (a UUID in lower case)"
WORD_SAID = "no text of 1 to 512 printable characters"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param({"acme": "acme"}, UUID_SAID, id="a value that is no UUID"),
        pytest.param({"acme": ONE.upper()}, UUID_SAID, id="capitals"),
        pytest.param({"acme": ONE + "\n"}, UUID_SAID, id="a line feed after it"),
        pytest.param({"acme": [ONE]}, UUID_SAID, id="a list"),
        pytest.param({"acme": None}, UUID_SAID, id="null"),
        pytest.param({"acme": {"id": ONE}}, UUID_SAID, id="an object"),
        pytest.param({"": ONE}, WORD_SAID, id="an empty word"),
        pytest.param({LONGEST + "w": ONE}, WORD_SAID, id="a word too long"),
        pytest.param({"a\x1b[2J": ONE}, WORD_SAID, id="a terminal's escape"),
        pytest.param({"a\u202eb": ONE}, WORD_SAID, id="a text that runs backwards"),
        pytest.param({"\ud800": ONE}, WORD_SAID, id="a lone surrogate"),
        pytest.param(
            {str(n): ONE for n in range(MAX_WORDS + 1)}, "has 10001 words", id="one word too many"
        ),
        pytest.param(sized(MAX_TABLE_BYTES + 1), "at most 1048576", id="a byte too many"),
        pytest.param({"\u00fc" * 500 + str(n): ONE for n in range(1100)}, "at most 1048576",
                     id="few characters of many bytes"),
    ],
)  # fmt: skip
def test_an_entry_with_one_wrong_word_is_refused_whole(data: dict[str, Any], said: str) -> None:
    with pytest.raises(TenantTableFault) as caught:
        read_tenant_table({"good": TWO, **data} if len(data) == 1 else data)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_few_fields_are_named_no_value_is_and_the_rest_are_counted() -> None:
    secret = "-----BEGIN PRIVATE KEY-----"
    with pytest.raises(TenantTableFault) as caught:
        read_tenant_table({f"field {n}": secret for n in range(8)})
    said = str(caught.value)
    assert (said.count("field"), "3 more are wrong" in said) == (5, True)
    assert "PRIVATE" not in said


def test_exactly_as_many_as_are_named_leave_no_rest() -> None:
    with pytest.raises(TenantTableFault) as caught:
        read_tenant_table({f"field {n}": "" for n in range(5)})
    assert "more" not in str(caught.value)


def policy(**sources: TableSource | None) -> TokenPolicy:
    def rules(source: TableSource | None) -> IssuerPolicy:
        place = TenantPlace(parse_claim_path("org"), source=source)
        mapping = ClaimsMapping(
            place, MODEL_MAPPING.user, MODEL_MAPPING.token_id, None,
            MODEL_MAPPING.roles, MODEL_MAPPING.scopes,
        )  # fmt: skip
        return IssuerPolicy(mapping=mapping)

    return TokenPolicy(
        issuers={name: rules(source) for name, source in sources.items()}, others=None
    )


def table_of(rules: TokenPolicy, issuer: str) -> object:
    mapping = rules.issuers[issuer].mapping
    assert mapping is not None
    return mapping.tenant.table


A, B = TableSource("a", "secret", "iam/t"), TableSource("b", "secret", "iam/t")


def test_a_table_serves_its_issuer_and_the_entry_that_the_rules_name() -> None:
    rules = with_tenant_tables(policy(a=A, b=B), {A: {"acme": ONE}, B: {"acme": TWO}})
    assert (table_of(rules, "a"), table_of(rules, "b")) == ({"acme": ONE}, {"acme": TWO})
    rules = with_tenant_tables(rules, {A: {}, B._replace(path="iam/u"): {"acme": ONE}})
    assert (table_of(rules, "a"), table_of(rules, "b")) == ({}, None)
    rules = with_tenant_tables(policy(a=A), {A._replace(mount="kv"): {"acme": ONE}})
    assert table_of(rules, "a") is None


def test_rules_without_a_stored_table_stay_the_same_object() -> None:
    rules = policy(a=None)
    assert with_tenant_tables(rules, {A: {"acme": ONE}}) is rules
    plain = TokenPolicy(issuers={"a": IssuerPolicy()})
    assert with_tenant_tables(plain, {A: {"acme": ONE}}) is plain
