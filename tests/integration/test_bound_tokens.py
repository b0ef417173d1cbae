"""DPoP through the real Envoy, with three workers that remember proofs together."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from signal import SIGHUP
from typing import Any

import pytest
import yaml

from demo.cases import API, Minter, bearer
from demo.client import Reply
from sidecar.common.clock import wall_seconds
from tests.runtime.workers.harness import WorkerStack
from tests.support.proving import Prover
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
PATH = "/api/payments/1"
PROVER = Prover()


class ProofStack(WorkerStack):
    """The stack with workers, and a route for tokens that are bound by DPoP."""

    def _sidecar_config(self) -> Mapping[str, Any]:
        config = dict(super()._sidecar_config())
        route = {"name": "payments", "path_prefix": "/api/payments", "binding": {"by": ["dpop"]}}
        tokens = {**config["tokens"], "dpop": {"ports": [self.ports.https]}}
        return {**config, "tokens": tokens, "routes": [route, *config["routes"]]}

    def token(self, **changes: Any) -> str:
        cnf = {"jkt": PROVER.jkt}
        return Minter(self.key, wall_seconds()).good(**{"cnf": cnf, **changes})

    def prove(self, token: str, **changes: Any) -> tuple[str, str]:
        url = f"https://localhost:{self.ports.https}{PATH}"
        claims = {"htu": url, **changes}
        return "dpop", PROVER.proof(token.encode(), wall_seconds(), **claims).decode()

    def send(self, token: str, *headers: tuple[str, str], path: str = PATH) -> Reply:
        return self.client.get(path, (("authorization", f"DPoP {token}"), *headers))


@pytest.fixture(scope="module")
def stack() -> Iterator[ProofStack]:
    with ProofStack() as running:
        yield running


def reason(reply: Reply) -> str:
    return str(reply.document().get("reason", reply.status))


def test_a_bound_token_passes_with_its_proof_which_the_application_does_not_get(
    stack: ProofStack,
) -> None:
    token = stack.token()
    reply = stack.send(token, stack.prove(token, jti="first"))
    assert reply.status == 200
    seen = reply.document()["seen"]
    assert "x-tenant-id" in seen
    assert "dpop" not in seen


def test_it_passes_nowhere_and_in_no_other_way(stack: ProofStack) -> None:
    token, plain = stack.token(), Minter(stack.key, wall_seconds()).good()
    proof = stack.prove(token, jti="second")
    found = {
        "without a proof": stack.send(token),
        "as a bearer token": stack.client.get(PATH, (bearer(token), proof)),
        "on another route": stack.client.get(API, (bearer(token), proof)),
        "to another path": stack.send(token, proof, path=f"{PATH}/2"),
        "by another method": stack.client.post(
            PATH, b"", (("authorization", f"DPoP {token}"), proof)
        ),
        "two proofs": stack.send(token, proof, stack.prove(token, jti="third")),
        "another token": stack.send(stack.token(jti="other"), proof),
        "an unbound token": stack.send(plain, stack.prove(plain)),
        "a bearer token": stack.client.get(PATH, (bearer(plain),)),
    }
    assert {name: reason(each) for name, each in found.items()} == {
        "without a proof": "dpop_proof_missing",
        "as a bearer token": "token_bound",
        "on another route": "token_bound",
        "to another path": "dpop_proof_mismatch",
        "by another method": "dpop_proof_mismatch",
        "two proofs": "dpop_proof_invalid",
        "another token": "dpop_proof_mismatch",
        "an unbound token": "token_not_bound",
        "a bearer token": "token_not_bound",
    }
    assert stack.send(token, proof).status == 200, "none of these has used the proof up"


def test_a_proof_passes_once_whichever_workers_are_asked_at_once(stack: ProofStack) -> None:
    token = stack.token()
    proofs = [stack.prove(token, jti=f"race-{number}") for number in range(10)]
    sent = [proof for proof in proofs for _ in range(6)]

    def answer(proof: tuple[str, str]) -> str:
        for _ in range(50):  # the one memory of proofs may be busy, with the machine: asked again
            if (found := reason(stack.send(token, proof))) != "dpop_busy":
                break
        return found

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(answer, sent))
    assert sorted(found) == ["200"] * 10 + ["dpop_proof_replayed"] * 50
    by_worker = [number for name, number in stack.metrics().items() if "worker_checks" in name]
    assert sum(number > 0 for number in by_worker) > 1, "more than one worker was asked"


def test_with_nonces_a_client_that_repeats_as_it_is_told_gets_through(stack: ProofStack) -> None:
    """A reload requires them; every worker knows the nonces of the others."""
    path = stack.folder / "sidecar.yaml"
    config = yaml.safe_load(path.read_text())
    config["tokens"]["dpop"]["nonce"] = "required"
    path.write_text(json.dumps(config))
    token = stack.token()
    stack.sidecar.signal(SIGHUP)
    count = iter(range(1000))

    def asks_for_one() -> bool:
        reply = stack.send(token, stack.prove(token, jti=f"before-{next(count)}"))
        return reason(reply) == "dpop_nonce_required"

    wait_until(lambda: all(asks_for_one() for _ in range(6)))
    refused = stack.send(token, stack.prove(token, jti="asked"))
    assert 'DPoP realm="septem"' in refused.headers["www-authenticate"]
    assert 'error="use_dpop_nonce"' in refused.headers["www-authenticate"]
    nonce = refused.headers["dpop-nonce"]
    statuses = [
        stack.send(token, stack.prove(token, jti=f"n-{number}", nonce=nonce)).status
        for number in range(9)
    ]
    assert statuses == [200] * 9
