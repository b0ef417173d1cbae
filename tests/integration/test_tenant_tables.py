"""An issuer's table of tenants in a real OpenBao, through Envoy: one process, and workers.

The issuer's word is in a claim of its own, ``org``; what the application gets is our tenant id.
"""

import json
import os
from collections.abc import Iterator, Mapping
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import pytest

from demo.cases import API, OTHER_TENANT, TENANT, Minter, bearer
from demo.openbao import SIDECAR_POLICY
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.integration.test_reload import Files, reload
from tests.runtime.workers.harness import WORKERS, WorkerStack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

PATH, OTHER_PATH = "iam/tenants/acme", "iam/tenants/others"
POLICY = "".join(
    f'path "secret/data/{path}" {{ capabilities = ["read"] }}\n' for path in (PATH, OTHER_PATH)
)
ISSUER_FACT = "tenants/https://iam.septemcore.com"


class TableStack(Stack):
    """The demo's stack, whose issuer names tenants by a table in Vault."""

    def _sidecar_config(self) -> Mapping[str, Any]:
        put(self, {"acme": TENANT})
        config = dict(super()._sidecar_config())
        self.openbao.client.sys.create_or_update_policy("sidecar", SIDECAR_POLICY + POLICY)
        (issuer,) = config["tokens"]["issuers"]
        table = {"path": PATH, "poll_seconds": 0.2}
        claims = {"tenant": {"path": "org", "tenants_from": table}}
        return {**config, "tokens": {"issuers": [{**issuer, "claims": claims}]}}


class TableWorkerStack(TableStack, WorkerStack):
    """The same with workers."""


@pytest.fixture(scope="module", params=[TableStack, TableWorkerStack], ids=["alone", "workers"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with request.param(keys={"poll_seconds": 0.2}) as running:
        yield running


@pytest.fixture(autouse=True)
def first_table(stack: Stack) -> None:
    """Begin with the table that the start had."""
    put(stack, {"acme": TENANT})
    wait_until(lambda: status(stack) == "0.0 ok" and answers(stack, "acme") == {TENANT})


def put(stack: Stack, table: Mapping[str, Any], path: str = PATH) -> None:
    stack.openbao.client.secrets.kv.v2.create_or_update_secret(path, dict(table))


def answers(stack: Stack, word: str) -> set[str]:
    """Return what many requests get: our tenant id at the application, or the reason."""
    token = bearer(Minter(stack.key, wall_seconds()).good(org=word))
    found = set()
    for _ in range(2 * WORKERS):
        reply = stack.client.get(API, (token,))
        document = reply.document()
        if reply.status == 200:
            found.update(document["seen"]["x-tenant-id"])
        else:
            found.add(document["reason"])
    return found


def status(stack: Stack) -> str:
    """Return what /readyz says of the table, with what the metric says of its polls."""
    metrics = fetch_text(stack.admin_port, "/metrics").splitlines()
    (failing,) = (
        line.rpartition(" ")[2]
        for line in metrics
        if line.startswith("septem_poll_failing") and ISSUER_FACT in line
    )
    said = json.loads(fetch_text(stack.admin_port, "/readyz"))[ISSUER_FACT]
    return f"{failing} {said}"


def test_a_word_comes_moves_and_goes_while_it_runs(stack: Stack) -> None:
    """Though its token was verified, and its answer remembered, by the table before."""
    put(stack, {"acme": TENANT, "org_7Xk": TENANT})
    wait_until(lambda: answers(stack, "org_7Xk") == {TENANT})
    put(stack, {"acme": TENANT, "org_7Xk": OTHER_TENANT})
    wait_until(lambda: answers(stack, "org_7Xk") == {OTHER_TENANT})
    put(stack, {"acme": TENANT})
    wait_until(lambda: answers(stack, "org_7Xk") == {"tenant_unknown"})
    assert answers(stack, "acme") == {TENANT}
    put(stack, {})
    wait_until(lambda: answers(stack, "acme") == {"tenant_unknown"})


def test_an_entry_that_is_wrong_is_refused_whole_and_said(stack: Stack) -> None:
    put(stack, {"b": OTHER_TENANT, "acme": "not a tenant"})
    wait_until(lambda: status(stack).startswith("1.0 outage"))
    assert "the value of 'acme' is no tenant id" in status(stack)
    assert (answers(stack, "acme"), answers(stack, "b")) == ({TENANT}, {"tenant_unknown"})
    put(stack, {"acme": TENANT, "b": OTHER_TENANT})
    wait_until(lambda: status(stack) == "0.0 ok")
    assert answers(stack, "b") == {OTHER_TENANT}


def test_without_the_right_to_it_or_the_entry_the_last_table_stays(stack: Stack) -> None:
    """In a worker too that starts meanwhile."""
    root = stack.openbao.client
    root.sys.create_or_update_policy("sidecar", SIDECAR_POLICY)
    wait_until(lambda: status(stack).startswith("1.0 outage"))
    if isinstance(stack, WorkerStack):
        victim = stack.worker_pids()[0]
        os.kill(victim, SIGKILL)
        wait_until(lambda: victim not in stack.worker_pids())
        wait_until(lambda: stack.metrics()["septem_workers_serving"] == WORKERS)
    assert answers(stack, "acme") == {TENANT}
    root.sys.create_or_update_policy("sidecar", SIDECAR_POLICY + POLICY)
    wait_until(lambda: status(stack) == "0.0 ok")
    root.secrets.kv.v2.delete_latest_version_of_secret(PATH, mount_point="secret")
    wait_until(lambda: "is not there" in status(stack))
    assert answers(stack, "acme") == {TENANT}


def test_vault_away_changes_nothing(stack: Stack) -> None:
    """Its calls hang: what was read is in force until it answers again."""
    process = stack.openbao.process
    process.signal(SIGSTOP)
    try:
        wait_until(lambda: status(stack).startswith("1.0 outage"))
        assert answers(stack, "acme") == {TENANT}
        assert answers(stack, "b") == {"tenant_unknown"}
    finally:
        process.signal(SIGCONT)
    wait_until(lambda: status(stack) == "0.0 ok")


def test_a_reload_reads_another_entry_first_and_refuses_one_that_is_not_there(
    stack: Stack,
) -> None:
    files = Files(stack)

    def move(settings: dict[str, Any]) -> None:
        settings["tokens"]["issuers"][0]["claims"]["tenant"]["tenants_from"]["path"] = OTHER_PATH

    files.write(files.with_changes(move))
    refused = reload(stack)
    assert refused["result"] == "unprepared"
    assert f"secret/{OTHER_PATH} is not there" in str(refused["problems"])
    assert answers(stack, "acme") == {TENANT}
    put(stack, {"acme": OTHER_TENANT}, OTHER_PATH)
    assert reload(stack)["result"] == "applied"
    assert answers(stack, "acme") == {OTHER_TENANT}
    files.write(files.first)
    assert reload(stack)["result"] == "applied"
    assert answers(stack, "acme") == {TENANT}
