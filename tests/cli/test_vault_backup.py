"""``sidecar vault backup`` and ``restore`` as an operator types them, against a real OpenBao."""

import json
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.cli.commands import Run
from tests.support.real import NAMESPACE, TokenFile
from tests.vault_backup.kv_world import SEAL_KEY, KvWorld, enable_seal_key
from workload.backups.archive import new_label
from workload.backups.policies import policy_of_job

pytestmark = pytest.mark.real


class Operator:
    """The commands with a world's settings, each with the token that its policy gives."""

    def __init__(self, world: KvWorld, folder: Path, run: Run) -> None:
        self.world = world
        self.config = folder / "sidecar.yaml"
        self.config.write_text(world.settings)
        self.archive = folder / "archive"
        self._folder = folder
        self._run = run

    def backup(self, *more: object) -> tuple[int, str, str]:
        return self._type("backup", "seal", "--output", self.archive, *more)

    def restore(self, *more: object) -> tuple[int, str, str]:
        return self._type("restore", "open", self.archive, *more)

    def _type(self, command: str, job: str, *more: object) -> tuple[int, str, str]:
        server = self.world.server
        token = TokenFile(self._folder / f"seal-{job}")
        policy = policy_of_job(job, new_label("policy", 0, key=SEAL_KEY))
        token.write(server.token_for(policy, name=f"cli-{job}"))
        namespace = [] if NAMESPACE is None else ["--seal-namespace", NAMESPACE]
        return self._run(
            *("vault", command, "--config", self.config),
            *("--token-file", self.world.token_file(command).path),
            *("--seal-vault", server.address, "--seal-token-file", token.path),
            *namespace,
            *more,
        )


@pytest.fixture
def operator(openbao: OpenBao, tmp_path: Path, run: Run) -> Operator:
    enable_seal_key(openbao)
    world = KvWorld(openbao, tmp_path)
    world.put("keys", value="-----BEGIN PUBLIC KEY-----")
    world.put("store/edge", pem="a private key")
    return Operator(world, tmp_path, run)


def test_what_was_lost_comes_back(operator: Operator) -> None:
    world, root = operator.world, f"secret/{operator.world.root}"
    code, out, err = operator.backup()
    assert (code, err) == (0, "")
    assert f"{root}/keys: version 1  # tokens.issuers[0].keys\n" in out
    assert f"{root}/publishers: nothing there  # modules\n" in out
    assert out.endswith(f"2 entries sealed in {operator.archive}\n")
    assert b"PUBLIC KEY" not in operator.archive.read_bytes()
    world.erase("keys")
    world.put("store/edge", pem="a newer one")
    code, out, err = operator.restore()
    assert code == 1
    assert out == (f"{root}/keys: missing: left\n{root}/store/edge: newer, version 2 there: left\n")
    assert err == (
        "nothing was written: Vault has newer versions, or deleted entries. Look at them; then "
        "--missing-only leaves them, and --overwrite-newer writes over them\n"
    )
    assert operator.restore("--missing-only", "--dry-run")[1].endswith("1 entry would be written\n")
    code, out, _ = operator.restore("--missing-only")
    assert (code, out.splitlines()[-1]) == (0, "1 entry written")
    assert world.get("keys") == {"value": "-----BEGIN PUBLIC KEY-----"}
    assert world.get("store/edge") == {"pem": "a newer one"}
    assert operator.restore("--overwrite-newer")[0] == 0
    assert world.get("store/edge") == {"pem": "a private key"}


def test_programs_get_the_rows(operator: Operator) -> None:
    code, out, _ = operator.backup("--json", "--without", "modules")
    found = json.loads(out)
    assert (code, found["sealed"]) == (0, 2)
    assert not any("publishers" in each["name"] for each in found["entries"])
    found = json.loads(operator.restore("--json")[1])
    assert (found["written"], {each["standing"] for each in found["entries"]}) == (0, {"same"})
    operator.world.put("keys", value="newer")
    code, out, _ = operator.restore("--json")
    assert (code, json.loads(out)["written"]) == (1, 0)


def test_a_dry_run_writes_no_file(operator: Operator) -> None:
    code, out, _ = operator.backup("--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "2 entries would be sealed")
    assert not operator.archive.exists()


def test_what_the_settings_leave_out_is_not_restored(operator: Operator) -> None:
    assert operator.backup()[0] == 0
    operator.world.erase("keys")
    code, out, _ = operator.restore("--without", "tokens")
    assert code == 0
    assert f"secret/{operator.world.root}/keys: not in the settings: left" in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--without", "modulos"], "no entry is for 'modulos'"),
        (["--seal-vault", "ftp://vault"], "--seal-vault must be https://host:port"),
        (["--seal-vault", "http://vault.example:8200"], "--seal-vault must be https: "),
        (["--seal-vault", "http://127.0.0.1:1"], "cannot be reached"),
        (["--seal-token-file", "/none"], "of your own (--seal-token-file)"),
        (["--token-file", "/none"], "of your own (--token-file)"),
        (["--key", "other"], "permission denied"),
        (["--output", "/none/archive"], "/none/archive can't be written"),
    ],
)
def test_what_cannot_be_done_is_said(operator: Operator, more: list[str], said: str) -> None:
    code, out, err = operator.backup(*more)
    assert (code, out) == (1, "")
    assert said in err
    assert not operator.archive.exists()


def test_an_archive_that_is_too_old_or_is_none(operator: Operator) -> None:
    assert operator.backup()[0] == 0
    code, _, err = operator.restore("--newer-than", "2999-01-01T00:00:00Z")
    assert code == 1
    assert "a newer one than 2999-01-01T00:00:00Z" in err
    assert operator.backup()[2].endswith("is there already: --overwrite replaces it\n")
    assert operator.backup("--overwrite")[0] == 0
    operator.archive.write_bytes(b"PGDMP")
    assert "this is no sealed archive" in operator.restore()[2]
