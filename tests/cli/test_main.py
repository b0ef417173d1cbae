"""The command line: exit codes, messages, never a traceback."""

import io
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess
from sidecar.cli.main import COMMANDS, main
from tests.authz.checks import check_request
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer
from tests.support.real import TokenFile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path: Path, issuer: Issuer) -> Path:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    (tmp_path / "key.pem").write_bytes(issuer.private.private_bytes(*form))
    jwk = {**ECAlgorithm.to_jwk(issuer.private.public_key(), as_dict=True), "kid": issuer.kid}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    (tmp_path / "config.yaml").write_text((ROOT / "config.example.yaml").read_text())
    return tmp_path


class Run:
    """Runs commands and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)


def test_config_envoy_prints_what_envoy_needs_and_checks_a_file(run: Run, tmp_path: Path) -> None:
    config, envoy = tmp_path / "config.yaml", ROOT / "envoy" / "edge.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    config.write_text(text)
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert (code, out) == (0, f"{envoy}: removes every header that {config} requires\n")
    assert "sidecar config envoy" not in run("config", "check", config)[1]
    assert "\nheaders:\n" in text
    config.write_text(
        text.replace("\nheaders:\n", "\nheaders:\n  remove_from_request: [x-debug]\n")
    )
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert code == 1
    assert "edge: request_mutations let x-debug through, which only the sidecar may set" in out
    code, out, _ = run("config", "envoy", config)
    assert code == 0
    assert out.count("- remove: x-debug\n") == 2
    assert f"sidecar config envoy {config}" in run("config", "check", config)[1]


MANAGER = b'{"@type": x/HttpConnectionManager, http_filters: '


@pytest.mark.parametrize(
    "content",
    [
        MANAGER + b'[{typed_config: {"@type": x/ext_authz.v3.ExtAuthz}}], route_config: 1}',
        MANAGER + b"null}",
        MANAGER + b"[1]}",
        b"a: &a [*a]",
    ],
    ids=["a number for routes", "no filters", "a number for a filter", "itself within itself"],
)
def test_config_envoy_says_what_is_no_envoy(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "envoy.yaml"
    path.write_bytes(content)
    code, _, err = run("config", "envoy", ROOT / "config.example.yaml", "--check", path)
    assert code == 1
    assert f"{path} is not a configuration that Envoy accepts" in err


@pytest.mark.parametrize("content", [b"a: [", b"\xff", None], ids=["broken", "no text", "absent"])
def test_config_envoy_says_what_is_wrong_with_a_file(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "envoy.yaml"
    if content is not None:
        path.write_bytes(content)
    code, _, err = run("config", "envoy", ROOT / "config.example.yaml", "--check", path)
    assert code == 1
    assert f"{path} can't be read as YAML" in err


def test_the_example_is_good(run: Run) -> None:
    code, out, _ = run("config", "check", ROOT / "config.example.yaml")
    assert code == 0
    assert "good (3 routes" in out


def test_what_envoy_and_the_application_must_agree_with_is_a_note(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    path.write_text(
        text.replace(
            "  - name: api\n",
            '  - {name: page, path_prefix: /page, token_from: [header, "cookie:session"]}\n'
            "  - {name: socket, path: /Assets/, token_from: [websocket]}\n  - name: api\n",
        )
    )
    code, out, _ = run("config", "check", path)
    assert code == 0
    first, second, third, last = out.splitlines()
    assert first.startswith(f"{path}: note: routes[3]: differs from the path of route 'assets'")
    assert "note: routes: page read tokens from cookie: Envoy must send it" in second
    assert "{exact: sec-websocket-protocol} in ext_authz's allowed_headers" in third
    assert "good (5 routes" in last


def test_every_problem_of_a_file_is_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vault: {address: x}\nlog: {level: loud}\n")
    code, _, err = run("config", "check", path)
    assert code == 2
    assert f"{path}: line 1: vault.address:" in err
    assert f"{path}: line 2: log.level:" in err
    assert "vault.auth: is missing" in err
    assert err.splitlines()[-1] == "5 problems found"


def test_a_file_that_is_not_there(run: Run) -> None:
    assert run("config", "check", "/none.yaml")[::2] == (
        2,
        "/none.yaml: cannot be read: No such file or directory\n1 problem found\n",
    )


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["token"], ["serve"], ["token", "verify"]])
def test_a_wrong_command_says_how(run: Run, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "usage: sidecar" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([name] for name in COMMANDS),
        ["config", "check"],
        ["config", "envoy"],
        ["token", "verify"],
        ["token", "mint"],
    ],
    ids=" ".join,
)
def test_help_is_there(run: Run, arguments: list[str]) -> None:
    code, out, _ = run(*arguments, "--help")
    assert code == 0
    assert "usage: sidecar" in out


@pytest.mark.parametrize("chosen", [None, "certs", "no-command"])
def test_only_the_chosen_command_is_imported(chosen: str | None) -> None:
    source = (
        "import sys; from sidecar.cli.main import build_parser; build_parser("
        f"{chosen!r}); print(*sorted(m for m in sys.modules if m.startswith('sidecar.cli.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )
    imported = {name.removeprefix("sidecar.cli.") for name in done.stdout.split()}
    assert imported & {*COMMANDS} == {chosen} & {*COMMANDS}


def verify(run: Run, files: Path, *tokens: bytes, **options: Any) -> tuple[int, list[Any]]:
    extra = [part for name, value in options.items() for part in (f"--{name}", value)]
    code, out, _ = run(
        "token", "verify", "--jwks", files / "jwks.json", *extra, stdin=b"\n".join(tokens)
    )
    return code, [json.loads(line) for line in out.splitlines()]


def test_tokens_are_verified_one_a_line(run: Run, files: Path, issuer: Issuer) -> None:
    good, expired = issuer.mint(), issuer.mint(exp=NOW - 60, iat=NOW - 100, nbf=NOW - 100)
    code, lines = verify(run, files, good, b"", expired, b"rubbish", at=NOW)
    assert code == 1
    assert [line["ok"] for line in lines] == [True, False, False]
    assert lines[0]["claims"]["tenantId"] == TENANT
    assert lines[1] == {"ok": False, "reason": "token_expired", "detail": "expired 60 s ago"}
    assert lines[2]["reason"] == "token_malformed"
    assert verify(run, files, good, good, at=NOW)[0] == 0


@pytest.mark.parametrize("at", [NOW, "2026-09-21T14:13:20Z", "2026-09-21T16:13:20+02:00"])
def test_a_time_is_unix_or_rfc_3339(run: Run, files: Path, issuer: Issuer, at: Any) -> None:
    assert verify(run, files, issuer.mint(), at=at)[0] == 0


def test_the_configuration_narrows_who_may_sign(run: Run, files: Path, issuer: Issuer) -> None:
    other = issuer.mint(iss="https://other.example")
    assert verify(run, files, other, at=NOW)[0] == 0
    code, lines = verify(run, files, other, issuer.mint(), at=NOW, config=files / "config.yaml")
    assert code == 1
    assert [line.get("reason") for line in lines] == ["issuer_mismatch", None]


def test_a_very_long_line_is_one_refusal(run: Run, files: Path) -> None:
    code, lines = verify(run, files, b"a" * 5_000_000, b"rubbish", at=NOW)
    assert code == 1
    assert [line["reason"] for line in lines] == ["token_too_large", "token_malformed"]


def test_a_minted_token_verifies(run: Run, files: Path) -> None:
    code, out, _ = run(
        "token", "mint", "--key", files / "key.pem", "--kid", "key-1", "--issuer", ISSUER,
        "--audience", AUDIENCE, "--tenant", TENANT, "--role", "admin", "--role", "editor",
    )  # fmt: skip
    assert code == 0
    code, lines = verify(run, files, out.strip().encode(), config=files / "config.yaml")
    assert code == 0
    assert lines[0]["claims"]["roles"] == ["admin", "editor"]


BAD_KEYS = [("empty", b""), ("text", b"hello"), ("binary", b"\xff\xfe"), ("a JWKS", b'{"keys":[]}')]


@pytest.mark.parametrize("content", [b[1] for b in BAD_KEYS], ids=[b[0] for b in BAD_KEYS])
def test_a_key_file_that_is_none(run: Run, files: Path, content: bytes) -> None:
    (files / "key.pem").write_bytes(content)
    (files / "jwks.json").write_bytes(content)
    code, _, err = run(
        "token", "mint", "--key", files / "key.pem", "--issuer", "i", "--audience", "a",
        "--tenant", TENANT,
    )  # fmt: skip
    assert code == 1
    assert err.startswith("sidecar: ")
    assert run("token", "verify", "--jwks", files / "jwks.json")[0] == 1


def serve(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def serving_config(tmp_path: Path, address: str, token_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text(
        f"""\
listen:
  authz: {{address: "127.0.0.1:0"}}
  admin: {{address: "127.0.0.1:0"}}
vault: {{address: "{address}", auth: {{method: token_file, path: {token_path}}}}}
tokens: {{issuers: [{{issuer: "{ISSUER}", audiences: ["{AUDIENCE}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
"""
    )
    return path


@pytest.mark.real
def test_without_vault_there_is_no_start(tmp_path: Path, token_file: TokenFile) -> None:
    token_file.write("hvs.whatever-it-is-it-is-not-shown")
    done = serve(serving_config(tmp_path, "http://127.0.0.1:1", token_file.path))
    assert done.returncode == 1
    assert "Vault at http://127.0.0.1:1" in done.stderr
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert "whatever" not in done.stderr


@pytest.mark.real
@pytest.mark.parametrize("entry", [None, "not a key"], ids=["no key", "no key in it"])
def test_without_a_key_there_is_no_start(
    tmp_path: Path, token_file: TokenFile, own_openbao: OpenBao, entry: str | None
) -> None:
    if entry is not None:
        own_openbao.put_key(entry)
    token_file.write(own_openbao.token_for(SIDECAR_POLICY))
    done = serve(serving_config(tmp_path, own_openbao.address, token_file.path))
    assert done.returncode == 1
    assert "iam/jwt-signing-key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_configuration_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("routes: []\n")
    done = serve(path)
    assert done.returncode == 2
    assert "vault: is missing" in done.stderr


@pytest.mark.real
def test_unix_sockets_are_for_the_owner_and_the_group(
    tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer
) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    config = serving_config(tmp_path, openbao.address, token_file.path)
    text = config.read_text()
    for name in ("authz", "admin"):
        text = text.replace(
            f'{name}: {{address: "127.0.0.1:0"}}', f'{name}: {{address: "unix:{tmp_path}/{name}"}}'
        )
    config.write_text(text)
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(config)]
    with ManagedProcess("sidecar", command) as process:
        process.wait_until(lambda: any("serving" in line for line in process.lines), 20)
        for name in ("authz", "admin"):
            mode = (tmp_path / name).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
        with grpc.insecure_channel(f"unix:{tmp_path}/authz") as channel:
            check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            assert b"token_missing" in check(check_request(path="/x"), timeout=5)
        assert process.stop() == 0
