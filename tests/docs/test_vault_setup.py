"""docs/vault.md, "Start from an empty server", pasted into a shell beside an empty OpenBao."""

import os
import sysconfig
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from demo.process import ManagedProcess, fetch_status, free_ports
from tests.support.consoles import BASH, Console, steps_of

READY_SECONDS = 60.0


@pytest.mark.real
def test_from_an_empty_server_to_a_token_that_is_good(tmp_path: Path) -> None:
    steps = steps_of("docs/vault.md", "tests/docs/test_vault_setup.py")
    authz, sds, admin = free_ports(3)
    with ExitStack() as exits:
        bao = OpenBao()
        exits.callback(bao.stop)
        (tmp_path / ".vault-token").write_text(bao.client.token)  # as `bao server -dev` does
        environment = {
            "HOME": str(tmp_path),
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        }
        ports = f"--authz 127.0.0.1:{authz} --sds 127.0.0.1:{sds} --admin 127.0.0.1:{admin}"
        names = {
            "http://127.0.0.1:8200": bao.address,
            "/run/septem": str(tmp_path),
            "--host app.example.com": f"--host app.example.com {ports}",
            "sidecar health": f"sidecar health --address 127.0.0.1:{admin}",
        }
        values = {name: (lambda value=value: value) for name, value in names.items()}
        console = Console(tmp_path, environment, values)
        for step in steps:
            if not step.command.endswith(" &"):
                console.run(step)
                continue
            words = f"cd {tmp_path} && exec {step.command.removesuffix(' &')}"
            serving = ManagedProcess("sidecar", [BASH, "-c", words], environment)
            exits.callback(serving.stop)
            serving.wait_until(
                lambda: fetch_status(admin, "/readyz") == HTTPStatus.OK, READY_SECONDS
            )
    assert any("serve" in step.command for step in steps)
