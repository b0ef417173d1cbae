"""An entry of Vault KV is read as its data alone, or as Vault's commands print it."""

import json
from typing import Any

import pytest

from sidecar.cli.entry_file import entry_of
from sidecar.common.errors import Fault

ENTRY = {"acme": "PEM"}


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        (ENTRY, ENTRY),
        ({"data": ENTRY}, ENTRY),
        ({"request_id": "1", "data": {"data": ENTRY, "metadata": {"version": 3}}}, ENTRY),
        ({"data": {"data": {"data": ENTRY}}}, {"data": ENTRY}),
        ({"data": "text"}, {"data": "text"}),
        ({"data": {"data": []}}, {"data": []}),
        ({}, {}),
    ],
    ids=[
        "the data alone", "the API's answer of KV v1", "vault kv get -format=json",
        "a field called data", "a field data that is text", "a field data that is a list", "empty",
    ],
)  # fmt: skip
def test_both_forms(written: Any, entry: Any) -> None:
    assert entry_of(json.dumps(written), "the list") == entry


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the list is not JSON"),
        ("{", "the list is not JSON"),
        ("[" * 100_000, "the list is not JSON"),
        ("[]", "the list is not a JSON object"),
        ("null", "the list is not a JSON object"),
        ('"data"', "the list is not a JSON object"),
    ],
)
def test_what_is_no_entry(text: str, said: str) -> None:
    with pytest.raises(Fault) as fault:
        entry_of(text, "the list")
    assert str(fault.value) == said
