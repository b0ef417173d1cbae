"""``sidecar vault setup``: what a person sees, and what programs get."""

import json
from collections import Counter
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.cli.main import main
from sidecar.cli.vault_setup import environment, rows, summary
from sidecar.config import model
from sidecar.vault_setup.step import SetupOutcome, SetupResult
from tests.vault_setup.shapes import operator, shape, short_folder


@pytest.mark.real
def test_a_person_sees_each_step_and_no_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = OpenBao()
    try:
        with short_folder() as folder:
            shape("the example", folder, server.address)
            token = operator(server, folder).path
            config = str(folder / "sidecar.yaml")
            command = ["vault", "setup", "--config", config, "--token-file", token]
            keys = ["--signing-keys", str(folder)]

            assert main([*command, "--dry-run"]) == 0
            planned = capsys.readouterr().out
            assert planned.startswith(f"export BAO_ADDR={server.address}\n[1/9] there ")
            assert "      bao secrets enable -path=pki -max-lease-ttl=87600h pki\n" in planned
            assert f"sidecar vault policy --with doctor --config {config} | " in planned
            assert planned.endswith("9 steps: 1 there, 7 to make, 1 left\n")

            assert main([*command, *keys]) == 0
            made = capsys.readouterr().out
            assert made.endswith("9 steps: 8 made, 1 there\n")
            names = ("operator", "role-id", "secret-id", "issuer-0.pem")
            for secret in ((folder / name).read_text().strip() for name in names):
                assert secret not in planned + made

            assert main([*command, *keys, "--json"]) == 0
            document = json.loads(capsys.readouterr().out)
            assert document["counts"] == {"there": 9}
            assert document["steps"][0]["name"] == "KV version 2 at secret"

            server.client.sys.create_or_update_policy("sidecar", 'path "other" {}')
            assert main([*command, *keys]) == 1
            assert "differs  policy sidecar" in capsys.readouterr().out
            assert server.client.sys.read_policy("sidecar")["data"]["rules"] == 'path "other" {}'
    finally:
        server.stop()


def test_a_name_that_a_shell_would_read_otherwise_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with short_folder() as folder:
        shape("the example", folder, "http://127.0.0.1:1")
        (tmp_path / "token").write_text("t")
        command = ["vault", "setup", "--config", str(folder / "sidecar.yaml")]
        assert main([*command, "--token-file", str(tmp_path / "token"), "--name", "a;b"]) == 1
        assert "--name must be" in capsys.readouterr().err
        assert main([*command, "--token-file", str(tmp_path / "missing")]) == 1
        assert "does not exist" in capsys.readouterr().err


def test_bao_is_told_the_server_and_no_token() -> None:
    auth = model.TokenFileAuth(path="/t")
    full = model.Vault(
        address="https://v.example:8200", auth=auth, ca_file="/my ca.pem", namespace="a/b"
    )
    assert list(environment(full)) == [
        "export BAO_ADDR=https://v.example:8200",
        "export BAO_CACERT='/my ca.pem'",
        "export BAO_NAMESPACE=a/b",
    ]
    socket = model.Vault(address="unix:/run/agent.sock", auth=auth)
    assert list(environment(socket)) == ["export BAO_ADDR=unix:///run/agent.sock"]


def test_a_row_has_the_command_where_something_is_left_to_do() -> None:
    made, left = (
        SetupResult("PKI at pki", each, "", "bao x", ("issuers[0]",))
        for each in (SetupOutcome.MADE, SetupOutcome.LEFT)
    )
    assert list(rows(made, 3, 12)) == ["[ 3/12] made     PKI at pki (issuers[0])"]
    assert list(rows(left, 3, 12))[1] == "        bao x"


def test_the_last_line_counts_what_was_not_reached() -> None:
    counts = Counter({SetupOutcome.MADE: 2, SetupOutcome.FAILED: 1})
    assert summary(counts, 9) == "9 steps: 2 made, 1 failed, 6 not reached"
