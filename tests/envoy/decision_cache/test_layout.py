"""What the tests' lease server believes of the shared memory is what the compiler makes of it."""

import json
from pathlib import Path

from tests.envoy.decision_cache.programs import build, run
from tests.support import leases


def test_the_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    numbers = json.loads(run(build(tmp_path, "layout", ())))
    ours = {
        name: int.from_bytes(value, "little") if isinstance(value, bytes) else value
        for name, value in vars(leases).items()
        if name in numbers
    } | leases.COUNTS
    ours |= {"ROW_BYTES": leases.ROW.size, "HELLO_BYTES": leases.HELLO.size}
    assert ours == numbers
