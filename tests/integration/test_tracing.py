"""A trace through a real Envoy: its span is the parent of the sidecar's, and all ids lead to both.

With one process and with workers, which reach no collector themselves. The pieces of Envoy's
configuration are those of envoy/README.md.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from demo.cases import API, Minter, bearer
from demo.envoyproxy import readme_pieces
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.observability.tracing.collector import Receiver, SentSpan, collector
from tests.observability.tracing.test_context import SPAN, TRACE
from tests.runtime.workers.harness import WorkerStack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


class Traced(Stack):
    """The demo's stack, whose Envoy and sidecar trace to a collector of the test's."""

    receiver: Receiver

    def _sidecar_config(self) -> Mapping[str, Any]:
        secrets = self.folder / "collector-headers"
        secrets.write_text("x-api-key: s3cret\n")
        tracing = {"url": self.receiver.url, "headers_file": str(secrets)}
        return {**super()._sidecar_config(), "tracing": tracing}

    def _envoy_config(self) -> Any:
        config = super()._envoy_config()
        manager_piece, cluster_piece = readme_pieces("Traces")
        port = int(self.receiver.url.split(":")[2].split("/")[0])
        (locality,) = cluster_piece["load_assignment"]["endpoints"]
        address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        address["port_value"] = port
        config["static_resources"]["clusters"].append(cluster_piece)
        (https,) = (e for e in config["static_resources"]["listeners"] if e["name"] == "https")
        manager = https["filter_chains"][0]["filters"][0]["typed_config"]
        manager["tracing"] = {**manager_piece["tracing"], "random_sampling": {"value": 100}}
        return config


class TracedWorkers(Traced, WorkerStack):
    """The same with workers."""


@pytest.fixture(scope="module", params=[Traced, TracedWorkers], ids=["one process", "workers"])
def stack(request: pytest.FixtureRequest) -> Iterator[Traced]:
    with collector() as receiver:
        kind = type(request.param.__name__, (request.param,), {"receiver": receiver})
        with kind() as running:
            yield running


def sent(stack: Traced, path: str, count: int) -> list[SentSpan]:
    """Wait for so many spans of decisions on a path, which the audit log knows."""
    ids = {}

    def there() -> list[SentSpan]:
        ids.update({e["decision_id"]: e for e in stack.audited() if e.get("path") == path})
        found = [e for e in stack.receiver.of_decisions() if e.said["septem.decision_id"] in ids]
        return [each for each in found if each.service == "septem-sidecar"]

    wait_until(lambda: len(there()) >= count, 20)
    assert len(there()) == count
    return there()


def ask(stack: Traced, path: str, times: int = 1, **headers: str) -> None:
    token = Minter(stack.key, wall_seconds()).good()
    for _ in range(times):
        reply = stack.client.get(path, (bearer(token), *headers.items()))
        assert reply.status == 200


def line_of(stack: Traced, span: SentSpan) -> dict[str, Any]:
    decision_id = span.said["septem.decision_id"]
    return next(each for each in stack.audited() if each["decision_id"] == decision_id)


def test_envoys_span_is_the_parent_of_the_sidecars(stack: Traced) -> None:
    path = f"{API}/traced"
    ask(stack, path, times=2)  # the second takes the fast path
    for span in sent(stack, path, 2):
        line = line_of(stack, span)
        assert line["trace_id"] == span.trace_id
        assert span.said["septem.request_id"] == line["request_id"]
        assert (span.said["septem.decision"], span.said["septem.route"]) == ("allow", "api")
        assert span.said["septem.tenant"] == line["tenant"]

        def parents(span: SentSpan = span) -> list[SentSpan]:
            every = stack.receiver.spans
            return [each for each in every if each.span.span_id == span.span.parent_span_id]

        wait_until(parents, 20)
        (parent,) = parents()
        assert (parent.service, parent.trace_id) == ("edge", span.trace_id)
        # On Envoy's own span of the request stand both ids.
        wait_until(
            lambda span=span: any(  # type: ignore[misc]
                each.said.get("septem.decision_id") == span.said["septem.decision_id"]
                and each.said.get("guid:x-request-id") == span.said["septem.request_id"]
                for each in stack.receiver.spans
                if each.service == "edge"
            ),
            20,
        )


def test_a_refusal_is_found_by_each_of_its_ids(stack: Traced) -> None:
    path = f"{API}/refused"
    document = stack.client.get(path).document()
    (span,) = sent(stack, path, 1)
    line = line_of(stack, span)
    assert (span.said["septem.decision"], span.said["septem.reason"]) == ("deny", "token_missing")
    for given in (
        document["instance"],
        document["request_id"],
        span.trace_id,
        f"00-{span.trace_id}-{SPAN}-01",
    ):
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "explain", given, "--json", "--audit",
             str(stack.folder / "audit.jsonl")],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert [found["line"] for found in json.loads(done.stdout)] == [line]


def test_a_context_that_a_client_sends_is_continued_as_envoy_decides(stack: Traced) -> None:
    path = f"{API}/continued"
    ask(stack, path, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1")
    ask(stack, path, traceparent=f"00-{TRACE}-{SPAN}-00")
    wait_until(lambda: len([e for e in stack.audited() if e.get("path") == path]) == 2)
    lines = [each for each in stack.audited() if each.get("path") == path]
    assert [each["trace_id"] for each in lines] == [TRACE, TRACE]
    (span,) = sent(stack, path, 1)
    assert (span.trace_id, span.span.trace_state) == (TRACE, "vendor=1")
    assert line_of(stack, span) in lines


def test_the_collector_gets_its_secret_and_is_counted(stack: Traced) -> None:
    ask(stack, f"{API}/counted")
    sent(stack, f"{API}/counted", 1)
    of_sidecar = [each for each in stack.receiver.headers if "x-api-key" in each]
    assert {each["x-api-key"] for each in of_sidecar} == {"s3cret"}
    text = fetch_text(stack.admin_port, "/metrics")
    exported = [row for row in text.splitlines() if row.startswith("septem_trace_spans_exported")]
    assert float(exported[0].split()[1]) >= 1
    assert "s3cret" not in text + "".join(stack.sidecar.lines)


def test_a_collector_that_fails_costs_no_check(stack: Traced) -> None:
    """It refuses every batch, and Checks are answered as before; spans are dropped and counted."""
    stack.receiver.answers.extend([(400, {}, b"")] * 50)
    ask(stack, f"{API}/lost", times=3)
    row = 'septem_trace_spans_dropped_total{reason="refused"}'
    wait_until(lambda: f"{row} 0.0" not in fetch_text(stack.admin_port, "/metrics"), 20)
    wait_until(lambda: any("spans are not exported" in line for line in [*stack.sidecar.lines]), 20)
    stack.receiver.answers.clear()
    ask(stack, f"{API}/found")
    sent(stack, f"{API}/found", 1)
