"""What a listener serves in place of what it was given, in words."""

import dataclasses

import pytest
from cryptography import x509

from sidecar.certificates.managed.served import ServedChain, difference
from sidecar.common.clock import wall_seconds
from tests.support.authorities import Ca
from workload.x509.material import Material

ROOT = Ca("platform")
LOWER = Ca("lower", parent=ROOT)
GIVEN = LOWER.material(dns_names=("a.example",))
NOW = wall_seconds()
HOUR = 3600.0


def served(made: Material, *, only: int = 10, refusal: str = "") -> ServedChain:
    return ServedChain(
        tuple(x509.load_pem_x509_certificates(made.chain_pem)[:only]), refusal=refusal
    )


OTHER = LOWER.material(dns_names=("a.example",))
NAMELESS = LOWER.material("spiffe://d/s")
STRANGE = Ca("elsewhere").material(dns_names=("*.b.example",))
WILD = LOWER.material(dns_names=("*.example",))
ROWS: list[tuple[str, ServedChain, float, str]] = [
    ("the same", served(GIVEN), NOW, ""),
    ("no handshake", ServedChain((), failure="no handshake (TimeoutError)"), NOW,
     "no handshake (TimeoutError)"),
    ("without its intermediate", served(GIVEN, only=1), NOW,
     "without 1 of the 1 CA certificates above it: clients that do not know these reject it"),
    ("another one", served(OTHER), NOW,
     f"it serves serial {OTHER.serial} of CN=lower, which ends "),
    ("an old one", served(OTHER), NOW + 48 * HOUR,
     f"it serves serial {OTHER.serial} of CN=lower, which ended "),
    ("another host's", served(STRANGE), NOW, " and is not for a.example, and not "),
    ("a service's", served(NAMELESS), NOW, " and is not for a.example, and not "),
    ("what clients refuse", served(GIVEN, refusal="a client rejects it"), NOW,
     "a client rejects it"),
    ("both", served(GIVEN, only=1, refusal="a client rejects it"), NOW,
     "reject it; a client rejects it"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "now", "words"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_the_difference_is_said_in_words(seen: ServedChain, now: float, words: str) -> None:
    found = difference(GIVEN, seen, "a.example", now)
    assert (words in found) if words else found == ""
    assert len(found) <= 400


def test_a_wildcard_is_for_the_name() -> None:
    assert "is not for" not in difference(GIVEN, served(WILD), "a.example", NOW)


def test_other_cas_above_the_same_certificate() -> None:
    longer = dataclasses.replace(GIVEN, chain_pem=GIVEN.chain_pem + STRANGE.chain_pem)
    assert difference(GIVEN, served(longer), "a.example", NOW) == (
        "it serves the certificate with other CA certificates above it"
    )
