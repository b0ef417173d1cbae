"""What Vault may answer to a login, and what is made of it."""

from typing import Any

import pytest

from workload.vault.errors import VaultCallFault
from workload.vault.session import lease_of

TOKEN = "s.abc"
ANSWERS: list[tuple[str, Any, Any]] = [
    ("for an hour", {"lease_duration": 3600, "renewable": True}, (102400.0, 103600.0, True)),
    ("not to be renewed", {"lease_duration": 3600}, (102400.0, 103600.0, False)),
    ("for ever", {"lease_duration": 0, "renewable": True}, (None, None, False)),
    ("nothing said", {}, (None, None, False)),
    ("no number", {"lease_duration": "3600"}, (None, None, False)),
]
WRONG: list[tuple[str, Any]] = [
    ("nothing", {}),
    ("no object", {"auth": [TOKEN]}),
    ("no token", {"auth": {"client_token": ""}}),
    ("a token that is no text", {"auth": {"client_token": 7}}),
    ("a token of two lines", {"auth": {"client_token": "a\r\nx-vault-namespace: b"}}),
    ("a token beyond ASCII", {"auth": {"client_token": "\u00fc"}}),
]


@pytest.mark.parametrize(("auth", "lease"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_a_lease(auth: dict[str, Any], lease: tuple[Any, ...]) -> None:
    found = lease_of({"auth": {"client_token": TOKEN, **auth}}, 100_000.0)
    assert found == (TOKEN, *lease)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("answer", [w[1] for w in WRONG], ids=[w[0] for w in WRONG])
def test_an_answer_that_is_no_login(answer: dict[str, Any]) -> None:
    with pytest.raises(VaultCallFault, match="client_token"):
        lease_of(answer, 0.0)
