"""What each status of Vault means: whether it is tried again, and in which words."""

import pytest

from sidecar.vault.errors import (
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultStale,
    VaultUnreachable,
)
from sidecar.vault.statuses import MAX_WORDS, VaultAnswer, fault_of_answer, origin_of, words_of

RETRYABLE = (VaultUnreachable, VaultSealed, VaultStale)
STATUSES: list[tuple[int, type[VaultFault]]] = [
    (301, VaultSealed), (307, VaultSealed), (308, VaultSealed),
    (400, VaultRejected), (401, VaultForbidden), (403, VaultForbidden), (404, VaultNotFound),
    (405, VaultRejected), (408, VaultUnreachable), (412, VaultStale), (413, VaultRejected),
    (418, VaultRejected), (425, VaultUnreachable), (429, VaultUnreachable), (472, VaultSealed),
    (473, VaultSealed), (500, VaultUnreachable), (501, VaultSealed), (502, VaultUnreachable),
    (503, VaultSealed), (504, VaultUnreachable), (507, VaultUnreachable), (599, VaultUnreachable),
    (600, VaultRejected),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), STATUSES, ids=[str(row[0]) for row in STATUSES])
def test_a_status_has_its_class(status: int, kind: type[VaultFault]) -> None:
    fault = fault_of_answer(VaultAnswer(status, retry_after_seconds=7.0), "Vault at x, pki/sign/y")
    assert type(fault) is kind
    assert fault.retryable is isinstance(fault, RETRYABLE)
    assert fault.retry_after_seconds == (7.0 if fault.retryable else None)
    assert str(fault).startswith("Vault at x, pki/sign/y: ")


def test_vaults_own_words_are_said() -> None:
    answer = VaultAnswer(400, words_of(["role requires keys of type rsa"]))
    fault = fault_of_answer(answer, "here")
    assert str(fault).endswith('; Vault says: "role requires keys of type rsa"')
    assert fault.words == "role requires keys of type rsa"
    for silent in (VaultAnswer(400), VaultAnswer(403, "1 error: * permission denied")):
        assert "says" not in str(fault_of_answer(silent, "here"))


BRIEFLY = "This backend will be unavailable for a brief period and will resume service"
NOT_READY = [
    f"Upgrading from non-versioned to versioned data. {BRIEFLY} shortly.",
    f"Waiting for the primary to upgrade. {BRIEFLY} when the primary is finished.",
    "Can not list issuers until migration has completed",
]


@pytest.mark.parametrize("words", NOT_READY)
def test_an_engine_that_is_not_ready_yet_is_an_outage(words: str) -> None:
    fault = fault_of_answer(VaultAnswer(400, words_of([words])), "Vault at x, secret/data/y")
    assert (type(fault), fault.retryable, fault.is_outage) == (VaultUnreachable, True, True)
    assert "not ready yet" in str(fault)
    assert words in str(fault)
    # The words alone are nothing: an entry may be called so, and another status means itself.
    assert type(fault_of_answer(VaultAnswer(403, words), "x")) is VaultForbidden


WORDS: list[tuple[str, object, str]] = [
    ("one", ["a is not b"], "a is not b"),
    ("several, on one line", ["1 error:\n\t* no\n\n", "and this"], "1 error: * no; and this"),
    ("a token", ["bad hvs.CAESIJ1234567890abcdefghij"], "bad [redacted]"),
    ("a JWT", ["error: eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"], "error: [redacted]"),
    ("what a terminal obeys", ["\x1b[31mred"], "\\u001b[31mred"),
    ("no words", [1, None, {}], ""),
    ("no list", {"a": "b"}, ""),
    ("nothing", None, ""),
]


@pytest.mark.parametrize(("errors", "words"), [w[1:] for w in WORDS], ids=[w[0] for w in WORDS])
def test_words_that_may_be_shown(errors: object, words: str) -> None:
    assert words_of(errors) == words


def test_words_are_bounded() -> None:
    assert len(words_of(["x " * 100_000] * 20)) <= MAX_WORDS


LOCATIONS = [
    ("https://leader.internal:8200/v1/secret/data/x?token=s", "https://leader.internal:8200"),
    ("http://[2001:db8::1]:8200/", "http://2001:db8::1:8200"),
    ("/v1/elsewhere", "somewhere"),
    ("https://x:notaport/", "somewhere"),
    ("https://user:password@leader/", "https://leader"),
    ("", "somewhere"),
]


@pytest.mark.parametrize(("location", "named"), LOCATIONS)
def test_a_redirect_is_named_without_its_path(location: str, named: str) -> None:
    assert origin_of(location) == named
    assert f"redirects to {named};" in str(fault_of_answer(VaultAnswer(307, "", location), "x"))
