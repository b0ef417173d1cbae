"""tls-alpn-01 (RFC 8737) through a real Envoy: a filter chain of its own, names on demand."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.openbao import OpenBao
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.challenges.tls_alpn01 import ChallengeCertificates
from sidecar.certificates.issuers.acme.issuer import AcmeIssuer
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.probe import served_serial
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.vault import VaultEntry
from sidecar.vault.client import VaultClient
from tests.support.acme_edge import AcmeEdge, running_edge
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
PAGE = Path(__file__).parents[3] / "docs/certificates.md"


def add_chain(config: Any) -> None:
    """Put the filter chain of docs/certificates.md before the others of edge.yaml."""
    text = PAGE.read_text().partition("### tls-alpn-01")[2].partition("```yaml\n")[2]
    (chain,) = yaml.safe_load(text.partition("```")[0])
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    listeners["https"]["filter_chains"].insert(0, chain)


def make_solver(vault: VaultClient) -> DistributedSolver:
    return DistributedSolver(
        vault, "secret", "septem/certificates/alpn-challenges",
        now=wall_seconds, sleep=asyncio.sleep, jitter=random.random,
    )  # fmt: skip


@pytest.fixture
def vault(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    token_file.write(openbao.token_for(FLEET_POLICY, name="alpn"))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


@pytest.fixture
async def edge(vault: VaultClient, tmp_path: Path) -> AsyncIterator[tuple[AcmeEdge, Pebble]]:
    solver = make_solver(vault)
    source = ChallengeCertificates(solver, now=wall_seconds, clock=monotonic_seconds)
    async with running_edge(tmp_path, solver, add_chain, challenges=source) as edge:
        ports = edge.ports
        with running_pebble(tmp_path / "pebble", 1, tls_port=ports.https) as pebble:
            yield edge, pebble
    await source.close()


def issuer_of(pebble: Pebble, vault: VaultClient, solver: DistributedSolver) -> AcmeIssuer:
    settings = model.AcmeIssuerSettings(
        name="public", directory=pebble.directory, ca_file=pebble.ca_file, agree_to_terms=True,
        account=VaultEntry(path="septem/acme/alpn"), challenge="tls-alpn-01",
    )  # fmt: skip
    return AcmeIssuer(settings, vault, solver, now=wall_seconds, sleep=asyncio.sleep)


async def test_a_name_is_proved_by_a_certificate(
    edge: tuple[AcmeEdge, Pebble], vault: VaultClient
) -> None:
    running, pebble = edge
    assert isinstance(running.service.challenges, DistributedSolver)
    issuer = issuer_of(pebble, vault, running.service.challenges)
    names = ("a.alpn.example", "b.alpn.example")
    first = await issuer.issue(Order("x", names))
    assert set(first.names) == set(names)
    again = await issuer.issue(Order("x", names, replaces=first))
    assert again.serial != first.serial, "the first order's answer is not shown to the second"
    running.store.put("edge", again)
    address = f"127.0.0.1:{running.ports.https}"
    for _ in range(100):
        if await served_serial(address, names[0]) == again.serial:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("ordinary clients are not served the ordinary certificate")
    assert running.nacks == []


async def test_the_sidecar_that_is_asked_need_not_be_the_one_that_ordered(
    edge: tuple[AcmeEdge, Pebble], vault: VaultClient
) -> None:
    running, pebble = edge
    assert isinstance(running.service.challenges, DistributedSolver)
    issuer = issuer_of(pebble, vault, make_solver(vault))
    before = running.service.challenges.status.outcomes.get("ok", 0)
    material = await issuer.issue(Order("x", ("c.alpn.example",)))
    assert material.names == ("c.alpn.example",)
    assert running.service.challenges.status.outcomes.get("ok", 0) > before
