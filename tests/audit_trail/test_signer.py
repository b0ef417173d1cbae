"""Signing with a real transit engine, by the policy that the documents give."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail.signer import CheckpointSigner, SignatureFault, read_keys
from sidecar.common.clock import monotonic_seconds
from sidecar.observability.audit.chain import Head
from sidecar.observability.audit.checkpoint import ORIGIN, Checkpoint, Verdict, read_note
from sidecar.vault.answers import TransitKey
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden, VaultNotFound, VaultRejected
from tests.audit_trail.policies import policy
from tests.support.real import TokenFile

T = TypeVar("T")
HEAD = Head(b"0123456789abcdef", 7, b"0a" * 32)


@pytest.fixture(scope="module")
def transit(openbao: OpenBao) -> OpenBao:
    openbao.client.sys.enable_secrets_engine("transit", path="transit-d")
    for name, kind in (("audit", "ed25519"), ("other", "ecdsa-p256")):
        openbao.client.secrets.transit.create_key(name, key_type=kind, mount_point="transit-d")
    return openbao


@pytest.fixture
async def vault(transit: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    allowed = policy("Sidecar: checkpoints").replace("transit/", "transit-d/")
    token_file.write(transit.token_for(allowed, name="audit-checkpoints"))
    client = VaultClient(token_file.settings(transit.address), clock=monotonic_seconds)
    yield client
    await client.close()


def checkpoint(signer: CheckpointSigner) -> Checkpoint:
    return Checkpoint(signer.name, HEAD, "2026-11-26T03:00:00.000+00:00", "interval")


async def test_a_checkpoint_is_signed_by_the_policy_of_the_documents(
    transit: OpenBao, vault: VaultClient
) -> None:
    signer = CheckpointSigner(vault, "transit-d", "audit")
    note = read_note(await signer.sign(checkpoint(signer)))
    assert note is not None
    assert note.checkpoint == checkpoint(signer)
    keys = await read_keys(vault, "transit-d", "audit")
    assert note.judge(keys.values()) is Verdict.SIGNED
    assert keys[1].vkey.startswith(f"{ORIGIN}audit+")
    transit.client.secrets.transit.rotate_key("audit", mount_point="transit-d")
    again = read_note(await signer.sign(checkpoint(signer)))
    assert again is not None
    assert again.judge(keys.values()) is Verdict.KEY_UNKNOWN, "it is of version 2"
    assert again.judge((await read_keys(vault, "transit-d", "audit")).values()) is Verdict.SIGNED


async def test_the_policy_allows_nothing_else(transit: OpenBao, vault: VaultClient) -> None:
    for path in ("keys/audit/rotate", "keys/audit/config", "export/signing-key/audit", "keys/new"):

        def call(client: Any, path: str = path) -> object:
            return client.adapter.post(url=f"/v1/transit-d/{path}", json={"exportable": True})

        with pytest.raises(VaultForbidden):
            await vault.perform("transit_sign", path, call)
    assert transit.client.secrets.transit.read_key("audit", mount_point="transit-d")


async def test_a_key_of_another_type_or_none_is_said(
    transit: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(transit.client.token)
    client = VaultClient(token_file.settings(transit.address), clock=monotonic_seconds)
    signer = CheckpointSigner(client, "transit-d", "other")
    with pytest.raises(SignatureFault, match=r"of type ecdsa-p256.*type=ed25519"):
        await signer.sign(checkpoint(signer))
    signer = CheckpointSigner(client, "transit-d", "absent")
    with pytest.raises((VaultRejected, VaultNotFound)):
        await signer.sign(checkpoint(signer))
    await client.close()


class OddTransit:
    """A Vault that answers what no real one does."""

    def __init__(self, answer: str, public: str = "AAAA") -> None:
        self._answer = answer
        self._public = public

    async def read_transit_key(self, _mount: str, _name: str) -> TransitKey:
        return TransitKey("ed25519", {1: self._public}, 1, 1)

    async def perform(self, _operation: str, _path: str, _function: Callable[[Any], T]) -> T:
        return self._answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "public", "words"),
    [
        ("vault:v1:AAAA", "AAAA", "public key that can't be read"),
        ("vault:v1:AAAA", "!", "public key that can't be read"),
        ("vault:v1:AAAA", "A" * 43 + "=", "does not verify"),
        ("vault:v2:AAAA", "A" * 43 + "=", "does not verify"),
        ("vault:v1:!", "A" * 43 + "=", "does not verify"),
        ("vault:vx:AAAA", "AAAA", "can't be read"),
        ("", "AAAA", "can't be read"),
    ],
)
async def test_an_odd_answer_is_a_fault(answer: str, public: str, words: str) -> None:
    signer = CheckpointSigner(OddTransit(answer, public), "transit", "audit")
    with pytest.raises(SignatureFault, match=words):
        await signer.sign(checkpoint(signer))
