"""Certificates from real ACME CAs, proved through a real Envoy: Pebble, and OpenBao's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from sidecar.certs.acme.issuer import AcmeIssuer
from sidecar.certs.challenges import ChallengeBoard
from sidecar.certs.issuer import Order
from sidecar.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.certificates import VaultEntry
from sidecar.demo.openbao import OpenBao
from sidecar.vault.client import VaultClient
from tests.acme_edge import AcmeEdge, running_edge
from tests.pebble import Pebble, running_pebble
from tests.real import TokenFile

pytestmark = pytest.mark.real
POLICY = """\
path "secret/data/septem/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/*" { capabilities = ["read"] }
"""


class Setting(NamedTuple):
    """Everything of one test."""

    edge: AcmeEdge
    pebble: Pebble
    vault: VaultClient
    board: ChallengeBoard

    def issuer(self, **change: object) -> AcmeIssuer:
        settings = {
            "name": "public", "directory": self.pebble.directory, "ca_file": self.pebble.ca_file,
            "account": VaultEntry(path="septem/acme/public"), "agree_to_terms": True, **change,
        }  # fmt: skip
        return AcmeIssuer(
            model.AcmeIssuer(**settings), self.vault, self.board,  # type: ignore[arg-type]
            now=wall_seconds, sleep=asyncio.sleep,
        )  # fmt: skip


def make_board(vault: VaultClient) -> ChallengeBoard:
    return ChallengeBoard(
        vault, "secret", "septem/certificates/challenges",
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.5,
    )  # fmt: skip


@pytest.fixture
async def setting(
    openbao: OpenBao, token_file: TokenFile, tmp_path: Path
) -> AsyncIterator[Setting]:
    token_file.write(openbao.token_for(POLICY, name="acme"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    board = make_board(vault)
    async with running_edge(tmp_path, board) as edge:
        with running_pebble(tmp_path / "pebble", edge.ports.http) as pebble:
            yield Setting(edge, pebble, vault, board)
    await vault.close()


async def test_a_name_is_proved_at_the_ordinary_edge(setting: Setting, openbao: OpenBao) -> None:
    issuer = setting.issuer()
    material = await issuer.issue(Order("a", ("a.customer.example", "b.customer.example")))
    assert set(material.names) == {"a.customer.example", "b.customer.example"}
    assert setting.pebble.orders == 1
    answered = [o for o in setting.edge.outcomes if o.decision.outcome == "challenge_answered"]
    assert {o.decision.host for o in answered} == set(material.names)
    account = openbao.client.secrets.kv.v2.read_secret_version(
        "septem/acme/public", raise_on_deleted_version=True
    )
    assert "BEGIN PRIVATE KEY" in account["data"]["data"]["private_key"]
    listed = openbao.client.secrets.kv.v2.read_secret_version(
        "septem/certificates/challenges", raise_on_deleted_version=True
    )
    assert listed["data"]["data"] == {"challenges": {}}, "nothing is in flight any more"
    again = await setting.issuer().issue(Order("a", ("a.customer.example",), replaces=material))
    assert again.serial != material.serial, "another process has the same account"
    setting.edge.store.put("edge", again)
    context = ssl.create_default_context(cadata=setting.pebble.root_pem())
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", setting.edge.ports.https, ssl=context,
                server_hostname="a.customer.example",
            )  # fmt: skip
        except OSError:
            await asyncio.sleep(0.05)
            continue
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        assert f"{x509.load_der_x509_certificate(der).serial_number:x}" == again.serial
        break
    else:
        pytest.fail("the certificate is not served")
    assert setting.edge.nacks == []
