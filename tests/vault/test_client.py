"""Vault as the sidecar meets it: a real OpenBao, well and unwell."""

import asyncio
import base64
import contextlib
import json
import signal
import time
from pathlib import Path

import hvac
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.config import model
from sidecar.keys.sources import TransitKeySource
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.verifier import verify_token
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import (
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultUnreachable,
)
from tests.support.minting import ISSUER, NOW, b64, base_claims, policy
from tests.support.real import NAMESPACE, TokenFile

pytestmark = pytest.mark.real
KEY = "iam/jwt-signing-key"
ENTRIES = 600
"""So many of a KV have versions after some 100 ms; OpenBao waits for 15 of them itself."""


def client_of(settings: model.Vault) -> VaultClient:
    return VaultClient(settings, clock=monotonic_seconds)


@pytest.fixture
def client(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    """A client with exactly the policy that the docs give the sidecar."""
    openbao.put_key("a key")
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    return client_of(token_file.settings(openbao.address))


def csr(*names: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
    )
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


async def test_kv_is_read_with_its_version(openbao: OpenBao, client: VaultClient) -> None:
    first = await client.read_kv("secret", KEY)
    openbao.put_key("another key")
    second = await client.read_kv("secret", KEY)
    assert (first.data, second.data) == ({"value": "a key"}, {"value": "another key"})
    assert second.version == first.version + 1
    assert "key" not in repr(second).replace("KvSecret", "")


async def test_a_csr_is_signed(client: VaultClient) -> None:
    chain = await client.sign_csr(
        "pki",
        "edge",
        csr("app.septemcore.com", "*.septemcore.com"),
        common_name="app.septemcore.com",
        alt_names=["*.septemcore.com"],
        uri_sans=[],
        ttl_seconds=3600,
    )
    leaf, *issuers = x509.load_pem_x509_certificates(chain.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "app.septemcore.com",
        "*.septemcore.com",
    }
    leaf.verify_directly_issued_by(issuers[0])


async def test_what_the_policy_does_not_allow(client: VaultClient) -> None:
    with pytest.raises(VaultForbidden, match="secret/data/kafka: permission denied"):
        await client.read_kv("secret", "kafka")


async def test_what_is_not_there(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.token_for('path "secret/*" { capabilities = ["read"] }', name="wide"))
    wide = client_of(token_file.settings(openbao.address))
    with pytest.raises(VaultNotFound, match="nothing exists there"):
        await wide.read_kv("secret", "none")
    openbao.put_key("x", path="gone")
    openbao.client.secrets.kv.v2.delete_latest_version_of_secret("gone")
    with pytest.raises(VaultNotFound):
        await wide.read_kv("secret", "gone")


async def test_what_vault_will_not_sign(client: VaultClient) -> None:
    with pytest.raises(VaultRejected, match="pki/sign/edge"):
        await client.sign_csr(
            "pki",
            "edge",
            csr("evil.test"),
            common_name="evil.test",
            alt_names=[],
            uri_sans=[],
            ttl_seconds=60,
        )


async def test_a_token_renewed_in_its_file_is_picked_up(
    openbao: OpenBao, client: VaultClient, token_file: TokenFile
) -> None:
    await client.login()
    old = token_file.path.read_text().strip()
    openbao.client.auth.token.revoke(old)
    with pytest.raises(VaultForbidden):
        await client.read_kv("secret", KEY)
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    await client.read_kv("secret", KEY)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), ("", "holds no Vault token")]
)
async def test_a_token_file_that_is_no_use(
    openbao: OpenBao, token_file: TokenFile, content: str | None, said: str
) -> None:
    if content is not None:
        token_file.path.write_text(content)
    with pytest.raises(VaultForbidden, match=said):
        await client_of(token_file.settings(openbao.address)).login()


def approle_settings(openbao: OpenBao, folder: Path, token_ttl: str) -> model.Vault:
    role_id, secret_id = openbao.approle_for(SIDECAR_POLICY, ttl=token_ttl)
    (folder / "role-id").write_text(role_id)
    (folder / "secret-id").write_text(secret_id)
    auth = model.AppRoleAuth(
        role_id_file=str(folder / "role-id"), secret_id_file=str(folder / "secret-id")
    )
    return model.Vault(address=openbao.address, auth=auth, namespace=NAMESPACE)


async def test_approle_renews_and_logs_in_again(openbao: OpenBao, tmp_path: Path) -> None:
    openbao.put_key("a key")
    now = [0.0]
    client = VaultClient(approle_settings(openbao, tmp_path, "90s"), clock=lambda: now[0])
    await client.read_kv("secret", KEY)
    first = client._connection.identity.lease
    assert first is not None
    assert (first.renew_at, first.expires_at) == (60.0, 90.0)
    now[0] = 61.0
    await client.read_kv("secret", KEY)
    renewed = client._connection.identity.lease
    assert renewed is not None
    assert renewed.token == first.token
    assert renewed.expires_at == 151.0
    now[0] = 200.0
    await client.read_kv("secret", KEY)
    assert client._connection.identity.lease is not None
    assert client._connection.identity.lease.token != first.token
    openbao.client.auth.token.revoke(client._connection.identity.lease.token)
    await client.read_kv("secret", KEY)
    assert client._connection.identity.lease.token not in repr(client._connection.identity.lease)


async def test_a_wrong_secret_id_is_refused_without_being_shown(
    openbao: OpenBao, tmp_path: Path
) -> None:
    settings = approle_settings(openbao, tmp_path, "90s")
    (tmp_path / "secret-id").write_text("7e57-not-the-secret")
    with pytest.raises(VaultForbidden, match="refuses our login at auth/approle") as fault:
        await client_of(settings).login()
    assert "7e57" not in str(fault.value)
    assert fault.value.__cause__ is None


async def test_a_server_that_is_gone(token_file: TokenFile, own_openbao: OpenBao) -> None:
    token_file.write(own_openbao.token_for(SIDECAR_POLICY))
    client = client_of(token_file.settings(own_openbao.address))
    own_openbao.put_key("a key")
    await client.read_kv("secret", KEY)
    own_openbao.stop()
    with pytest.raises(VaultUnreachable, match="cannot be reached") as fault:
        await client.read_kv("secret", KEY)
    assert fault.value.retryable


async def test_a_server_that_is_sealed(token_file: TokenFile, own_openbao: OpenBao) -> None:
    token_file.write(own_openbao.token_for(SIDECAR_POLICY))
    own_openbao.client.adapter.namespace = None
    own_openbao.client.sys.seal()
    with pytest.raises(VaultSealed) as fault:
        await client_of(token_file.settings(own_openbao.address)).read_kv("secret", KEY)
    assert fault.value.retryable


@pytest.mark.quiet
async def test_a_frozen_server_costs_time_outs_and_never_the_loop(
    token_file: TokenFile, own_openbao: OpenBao
) -> None:
    """Calls hang, fail in bounded time, do not pile up, and work again afterwards."""
    token_file.write(own_openbao.token_for(SIDECAR_POLICY))
    own_openbao.put_key("a key")
    client = client_of(token_file.settings(own_openbao.address, timeout_seconds=0.5))
    await client.login()
    own_openbao.process.signal(signal.SIGSTOP)
    longest = 0.0

    async def watch_the_loop() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    watcher = asyncio.create_task(watch_the_loop())
    started = time.monotonic()
    calls = [client.read_kv("secret", KEY) for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    took = time.monotonic() - started
    watcher.cancel()
    assert all(isinstance(outcome, VaultUnreachable) for outcome in outcomes)
    assert sum("still hang" in str(outcome) for outcome in outcomes) == 16
    assert took < 2.0
    assert longest < 0.25
    own_openbao.process.signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(VaultUnreachable):
                found = await client.read_kv("secret", KEY)
                break
            await asyncio.sleep(0.05)
    assert found.data == {"value": "a key"}


async def test_calls_are_observed(openbao: OpenBao, token_file: TokenFile) -> None:
    seen: list[tuple[str, str]] = []
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    client = VaultClient(
        token_file.settings(openbao.address),
        clock=monotonic_seconds,
        observe=lambda operation, outcome, _seconds: seen.append((operation, outcome)),
    )
    await client.login()
    with pytest.raises(VaultForbidden):
        await client.read_kv("secret", "other")
    assert seen == [("login", "ok"), ("kv_read", "VaultForbidden")]


async def test_the_environment_has_no_say(
    openbao: OpenBao, token_file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No VAULT_TOKEN or VAULT_CLIENT_CERT is picked up, and no proxy sees our calls."""
    openbao.put_key("a key")
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "from-the-environment")
    # hvac reads VAULT_CLIENT_CERT when it is imported, which other tests have done already.
    monkeypatch.setattr("hvac.v1.VAULT_CLIENT_CERT", "/nonexistent/from-the-environment.pem")
    await client_of(token_file.settings(openbao.address)).read_kv("secret", KEY)


async def test_transit_keys_verify_what_vault_signs(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    """Vault signs, the sidecar holds public halves: with a policy that allows no more."""
    transit = openbao.client.secrets.transit
    openbao.enable_transit()
    transit.create_key("jwt", key_type="ecdsa-p256")
    transit.rotate_key("jwt")
    policy_text = 'path "transit/keys/jwt" { capabilities = ["read"] }'
    token_file.write(openbao.token_for(policy_text, name="transit"))
    client = client_of(token_file.settings(openbao.address))
    source = TransitKeySource(model.VaultTransitKeys(name="jwt"), ISSUER, client)

    def signed(version: int) -> bytes:
        header = {"alg": "ES256", "typ": "JWT", "kid": f"jwt-v{version}"}
        parts = b64(json.dumps(header).encode()), b64(json.dumps(base_claims()).encode())
        signing = ".".join(parts).encode()
        answer = transit.sign_data(
            "jwt",
            base64.b64encode(signing).decode(),
            key_version=version,
            hash_algorithm="sha2-256",
            marshaling_algorithm="jws",
        )
        signature: str = answer["data"]["signature"].rpartition(":")[2]
        return signing + b"." + signature.encode()

    ring = KeyRing((await source.fetch()).keys)
    for version in (1, 2):
        assert verify_token(signed(version), ring, policy(), NOW).kid == f"jwt-v{version}"
    old = signed(1)
    transit.update_key_configuration("jwt", min_decryption_version=2)
    with pytest.raises(Denied) as denied:
        verify_token(old, KeyRing((await source.fetch()).keys), policy(), NOW)
    assert denied.value.reason is Reason.KEY_UNKNOWN


async def test_a_kv_that_is_being_made_a_versioned_one_is_read_when_it_is_ready(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    """It answers 400 meanwhile, as each KV does for a moment when Vault starts."""
    openbao.client.sys.enable_secrets_engine("kv", path="grown", options={"version": "1"})
    for number in range(ENTRIES):
        openbao.client.write_data(f"grown/{number}", data={"value": "kept"})
    token_file.write(openbao.token_for('path "grown/data/7" { capabilities = ["read"] }', name="g"))
    outcomes: list[str] = []
    client = VaultClient(
        token_file.settings(openbao.address),
        clock=monotonic_seconds,
        observe=lambda _operation, outcome, _seconds: outcomes.append(outcome),
    )
    await client.login()
    with pytest.raises(VaultNotFound):
        await client.read_kv("grown", "7")
    versions = {"options": {"version": "2"}}
    openbao.client.adapter.post("/v1/sys/mounts/grown/tune", json=versions)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="unavailable for a brief period"):
        openbao.client.adapter.get("/v1/grown/config")
    assert (await client.read_kv("grown", "7")).data == {"value": "kept"}
    assert outcomes[1:] == ["VaultNotFound", "ok"]
    await client.close()
