"""The entry as YAML: it is read back as it was meant, whatever stands in a token."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.idp_proposal import EntrySetting, Proposal
from sidecar.cli.idp_yaml import CHOOSE, comment_lines, entry_lines, flow
from sidecar.config.yamltree import parse_yaml

PROPOSAL = Proposal(
    "https://idp.example/",
    EntrySetting("audiences", ["https://api.example"], "keep those that are meant"),
    (
        EntrySetting("algorithms", ["RS256"]),
        EntrySetting(
            "claims.tenant", {"path": '"a:b".c', "tenants": {"o: 1": "0"}}, "choose " * 40
        ),
        EntrySetting("claims.client", "azp"),
        EntrySetting("max_lifetime_seconds", 3600),
    ),
)


def test_the_entry() -> None:
    lines = list(entry_lines(PROPOSAL, {"source": "oidc"}, PROPOSAL.settings))
    assert max(map(len, lines)) <= 100
    assert lines[:3] == [
        '- issuer: "https://idp.example/"',
        f"  {CHOOSE}keep those that are meant",
        '  audiences: ["https://api.example"]',
    ]
    assert parse_yaml("\n".join(lines)).value == [
        {
            "issuer": "https://idp.example/",
            "audiences": ["https://api.example"],
            "keys": {"source": "oidc"},
            "algorithms": ["RS256"],
            "max_lifetime_seconds": 3600,
            "claims": {
                "tenant": {"path": '"a:b".c', "tenants": {"o: 1": "0"}},
                "client": "azp",
            },
        }
    ]


def test_only_the_settings_that_are_asked_for_are_there() -> None:
    text = "\n".join(entry_lines(PROPOSAL, {"source": "oidc"}, PROPOSAL.settings[:1]))
    assert "RS256" in text
    assert "claims" not in text


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_any_value_is_read_back(value: Any) -> None:
    assert parse_yaml(f"a: {flow(value)}").value == {"a": value}


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\x1b[2J"])
def test_no_text_ends_its_comment(end: str) -> None:
    lines = list(comment_lines(f"a claim{end}audiences: [evil]", "  "))
    assert all(line.startswith("  # ") for line in lines)
    assert parse_yaml("\n".join([*lines, "a: 1"])).value == {"a": 1}
    assert all(line.isprintable() for line in lines)
