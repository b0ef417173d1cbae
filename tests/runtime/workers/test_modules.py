"""Publishers of modules reach every worker, and a withdrawn key leaves every worker."""

import hashlib
import time

import pytest

from demo.cases import BUNDLE, INSTALL, Minter, bearer
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from sidecar.module_signing.signature import HEADER_NAME, sign_digest
from tests.runtime.workers.harness import WORKERS, WorkerStack

pytestmark = pytest.mark.real


def answers(stack: Stack) -> set[str]:
    """What a signed module is answered, asked often enough to meet every worker."""
    signature = sign_digest(hashlib.sha256(BUNDLE).digest(), stack.publisher)
    headers = (bearer(Minter(stack.key, wall_seconds()).good()), (HEADER_NAME, signature))
    replies = [stack.client.post(INSTALL, BUNDLE, headers) for _ in range(4 * WORKERS)]
    return {str(reply.document().get("reason", reply.status)) for reply in replies}


def test_registered_and_withdrawn_everywhere() -> None:
    with WorkerStack(keys={"poll_seconds": 0.2}) as stack:
        assert answers(stack) == {"200"}
        stack.openbao.put_publishers({})
        deadline = time.monotonic() + 15
        while (got := answers(stack)) != {"module_key_unknown"}:
            assert time.monotonic() < deadline, got
        counted = stack.metrics()
        assert all(counted[f'septem_worker_checks_total{{worker="{n}"}}'] for n in range(WORKERS))
