"""What a reload takes over of the certificates' parts, and which change needs other ones."""

from typing import Any

import pytest

from sidecar.certificates.issuers.factory import make_solver
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.parts import CertificateParts, make_parts, signed_by
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.config import model, parse_config
from tests.config.test_certificates import ACME, PKI, STORE, text
from tests.support.fleet_kv import MemoryKv

KV = "{name: stored, type: vault_kv, prefix: tls}"
OTHER_KV = "{name: stored, type: vault_kv, prefix: other}"
FALLBACK = ACME + ", fallback: internal}"
TOGETHER = f"{PKI}, {KV}, {FALLBACK}"


async def no_crls(_mount: str) -> tuple[str, ...]:
    return ()


async def nothing(_seconds: float) -> None: ...


class Makes:
    """Makes parts, one after the other, as reloads do."""

    def __init__(self) -> None:
        self.vault: Any = MemoryKv()
        self.solver: Any = None
        self.parts: CertificateParts | None = None

    def make(self, issuers: str, more: str = STORE) -> CertificateParts:
        config = parse_config(text(issuers, more=more), "test.yaml")
        self.solver = self.solver or make_solver(config, self.vault)
        self.parts = make_parts(
            config,
            self.vault,
            self.solver,
            lambda _issuer, _serial: False,
            watch=lambda settings: RevocationWatch(
                settings, no_crls, sleep=nothing, jitter=lambda: 0.0
            ),
            watch_stored=lambda issuer: KvWatch(issuer, sleep=nothing, jitter=lambda: 0.0),
            before=self.parts,
        )
        return self.parts


def test_issuers_and_watches_of_the_same_settings_are_taken_over() -> None:
    makes = Makes()
    first, second = makes.make(TOGETHER), makes.make(TOGETHER)
    for name in ("internal", "stored", "public"):
        assert first.issuers[name] is second.issuers[name]
    assert list(first.watches.values()) == list(second.watches.values())
    assert list(first.stored.values()) == list(second.stored.values())
    assert first.factory.slots == second.factory.slots
    assert second.factory.acme == first.factory.acme
    assert second.factory.fallbacks == first.factory.fallbacks


CHANGES = [
    ("an entry's place", TOGETHER.replace(KV, OTHER_KV), STORE, {"stored"}),
    ("a second CA", TOGETHER.replace("role: edge", "role: other"), STORE, {"internal", "public"}),
    ("the fleet's store", TOGETHER, "certificate_store: {prefix: other}\n", {"public"}),
    ("a time-out", TOGETHER.replace("agree", "timeout_seconds: 3, agree"), STORE, {"public"}),
]


@pytest.mark.parametrize(
    ("issuers", "more", "fresh"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_only_what_depends_on_a_change_is_made_anew(
    issuers: str, more: str, fresh: set[str]
) -> None:
    makes = Makes()
    first, second = makes.make(TOGETHER), makes.make(issuers, more)
    names = ("internal", "stored", "public")
    assert {name for name in names if first.issuers[name] is not second.issuers[name]} == fresh


SIGNERS = [
    (PKI, PKI[:-1] + ", ttl_seconds: 600}", True),
    (PKI, PKI[:-1] + ", crl_poll_seconds: 0}", True),
    (PKI, PKI.replace("role: edge", "role: other"), False),
    (PKI, PKI[:-1] + ", mount: other}", False),
    (PKI, PKI[:-1] + ", key: {type: rsa}}", False),
    (KV, KV[:-1] + ", poll_seconds: 3}", True),
    (KV, OTHER_KV, False),
    (KV, KV[:-1] + ", key_field: k}", False),
    (ACME + "}", ACME + ", timeout_seconds: 3}", True),
    (ACME + "}", ACME + ", profile: short}", False),
    (ACME + "}", ACME.replace("ca.example", "other.example") + "}", False),
]


@pytest.mark.parametrize(("one", "other", "same"), SIGNERS)
def test_which_issuers_sign_alike(one: str, other: str, same: bool) -> None:
    first, second = (parse_config(text(each, more=STORE), "test.yaml") for each in (one, other))
    name = first.issuers[0].name
    assert (signed_by(first, name) == signed_by(second, name)) is same


def test_what_is_said_of_each_certificate() -> None:
    more = (
        "{name: edge, issuer: internal, common_name: '*.a.example', when_revoked: self_signed,"
        " probe: {address: '127.0.0.1:1'}}, {name: b, issuer: internal, common_name: b.example}"
    )
    config = parse_config(text(PKI, more), "test.yaml")
    vault: Any = MemoryKv()
    parts = make_parts(
        config, vault, None, lambda _issuer, _serial: False,
        watch=lambda each: RevocationWatch(each, no_crls, sleep=nothing, jitter=lambda: 0.0),
        watch_stored=lambda issuer: KvWatch(issuer, sleep=nothing, jitter=lambda: 0.0),
    )  # fmt: skip
    assert parts.configured == {"edge", "b"}
    assert parts.self_signed == ["edge"]
    assert {name: each.server_name for name, each in parts.targets.items()} == {
        "edge": "probe.a.example"
    }
    assert parts.mount_of("internal") == "pki"
    assert parts.mount_of("absent") is None
    watch = parts.watch_of("internal")
    assert watch is not None
    assert watch.issuer == "internal"
    assert parts.watch_of("absent") is None
    assert isinstance(config.issuers[0], model.VaultPkiIssuer)
