"""The paths of each engine, with the mount that they need."""

from sidecar.doctor.entry_texts.certificates import PKI_SIGN
from sidecar.doctor.entry_texts.tokens import KEYS, TRANSIT_KEYS
from sidecar.doctor.vault_paths import KvPaths, PkiPaths, TransitPaths, VaultEngine


def test_a_path_says_which_engine_must_be_mounted_where() -> None:
    kv, pki = KvPaths(KEYS, "s", "team/kv"), PkiPaths(PKI_SIGN, "s", "ca")
    transit = TransitPaths(TRANSIT_KEYS, "s", "transit", "jwt")
    needs = [kv.data("a", "read"), kv.versions("a"), pki.sign("edge"), pki.role("edge")]
    needs += [pki.revoke(), transit.read(), transit.call("datakey/plaintext"), *kv.written("b")]
    assert [(each.path, *sorted(each.capabilities)) for each in needs] == [
        ("team/kv/data/a", "read"),
        ("team/kv/detailed-metadata/a", "list"),
        ("ca/sign/edge", "update"),
        ("ca/roles/edge", "read"),
        ("ca/revoke", "update"),
        ("transit/keys/jwt", "read"),
        ("transit/datakey/plaintext/jwt", "update"),
        ("team/kv/data/b", "create", "read", "update"),
        ("team/kv/metadata/b", "create", "update"),
    ]
    assert {(each.mount, each.engine) for each in needs} == {
        ("team/kv", VaultEngine.KV),
        ("ca", VaultEngine.PKI),
        ("transit", VaultEngine.TRANSIT),
    }
    assert {each.text for each in needs} == {KEYS, PKI_SIGN, TRANSIT_KEYS}
    assert all(each.path.startswith(f"{each.mount}/") for each in needs)
