"""A setting that can't be meant so is refused when it is made."""

from collections.abc import Callable
from typing import Any

import pytest

from workload.encryption import FieldKeySettings
from workload.mtls import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    KvRoots,
    PkiRole,
    PkiRoots,
    SettingsFault,
    TokenFileLogin,
    Trust,
    VaultServer,
    Workload,
)

LOGIN = TokenFileLogin("/run/token")
SERVER = VaultServer("https://vault:8200", LOGIN)
PIN = "A" * 43 + "="
WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("no scheme", lambda: VaultServer("vault:8200", LOGIN), "address"),
    ("a path", lambda: VaultServer("https://vault:8200/v1", LOGIN), "address"),
    ("a user", lambda: VaultServer("https://me@vault:8200", LOGIN), "address"),
    ("a query", lambda: VaultServer("https://vault?x", LOGIN), "address"),
    ("another line", lambda: VaultServer("https://vault\r\nx: y", LOGIN), "address"),
    ("no host", lambda: VaultServer("https://:8200", LOGIN), "address"),
    ("a host that no header holds", lambda: VaultServer("https://v\u00e4ult", LOGIN), "address"),
    ("half an address of IPv6", lambda: VaultServer("https://[::1", LOGIN), "address"),
    ("port nought", lambda: VaultServer("https://vault:0", LOGIN), "address"),
    ("no port at all", lambda: VaultServer("https://vault:99999", LOGIN), "address"),
    ("a namespace of two lines", lambda: VaultServer("https://v", LOGIN, namespace="a\r\nb"),
     "namespace"),
    ("no time", lambda: VaultServer("https://v", LOGIN, timeout_seconds=0), "timeout_seconds"),
    ("no number", lambda: VaultServer("https://v", LOGIN, timeout_seconds=float("nan")),
     "timeout_seconds"),
    ("a mount above", lambda: PkiRole("service", mount="../sys"), "mount"),
    ("a role with a query", lambda: PkiRole("service?x"), "role"),
    ("a role with another line", lambda: PkiRole("service\n"), "role"),
    ("a second's life", lambda: PkiRole("service", ttl_seconds=1), "ttl_seconds"),
    ("no mounts", lambda: PkiRoots(()), "mounts"),
    ("one text for mounts", lambda: PkiRoots("pki"), "mounts"),  # type: ignore[arg-type]
    ("an empty mount", lambda: PkiRoots(("",)), "mounts"),
    ("a KV path above", lambda: KvRoots("a/../b"), "path"),
    ("one text for peers", lambda: Trust(PkiRoots(), peers="spiffe://a/*"),  # type: ignore[arg-type]
     "peers"),
    ("half a pin", lambda: Trust(PkiRoots(), spki_pins=("AAAA",)), "RFC 7469"),
    ("polls without pause", lambda: Trust(PkiRoots(), poll_seconds=0.1), "poll_seconds"),
    ("AppRole's mount", lambda: AppRoleLogin("r", "s", mount="a//b"), "mount"),
    ("JWT's role", lambda: JwtLogin("", "j"), "role"),
    ("Kubernetes' role", lambda: KubernetesLogin("a b"), "role"),
    ("the certificate's role", lambda: CertLogin("c", "k", role="."), "role"),
    ("a KEK above", lambda: FieldKeySettings("../a"), "kek"),
    ("a path of a KEK", lambda: FieldKeySettings("a/b"), "no path"),
    ("a KEK's mount", lambda: FieldKeySettings("a", mount="a//b"), "mount"),
    ("keys for no time", lambda: FieldKeySettings("a", ttl_seconds=0), "ttl_seconds"),
    ("keys for ever", lambda: FieldKeySettings("a", max_stale_seconds=1e9), "max_stale_seconds"),
    ("stale before they are old", lambda: FieldKeySettings("a", ttl_seconds=3601), "less than"),
    ("rotation every minute", lambda: FieldKeySettings("a", rotate_after_seconds=60), "rotate"),
    ("rotation before a key writes", lambda: FieldKeySettings("a", rotate_after_seconds=7200),
     "twice max_stale_seconds"),
    ("no scope", lambda: FieldKeySettings("a", max_scopes=0), "max_scopes"),
    ("no SPIFFE ID", lambda: Workload(SERVER, PkiRole("s"), Trust(PkiRoots()), spiffe_id="me"),
     "spiffe_id"),
    ("two SPIFFE IDs", lambda: Workload(
        SERVER, PkiRole("s"), Trust(PkiRoots()), spiffe_id="spiffe://a/b,spiffe://a/c"),
     "spiffe_id"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "named"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_it_is_refused_and_named(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(SettingsFault, match=named):
        make()


def test_what_is_meant_so_is_taken() -> None:
    for address in ("https://vault:8200", "http://[::1]:8200/", "unix:/run/agent.sock"):
        VaultServer(address, LOGIN, namespace="team/a")
    Trust(KvRoots("roots/services", crl_field="crls"), peers=("spiffe://a/*",), spki_pins=(PIN,))
    CertLogin("c", "k")
    assert FieldKeySettings("fields").publish_ahead_seconds == 7200
    KubernetesLogin("service")
