"""``sidecar token``: one token a line, times and files in every form, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Run
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer


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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"--ttl-seconds": "901"}, "token_lifetime_too_long"),
        ({"--audience": "https://elsewhere.example"}, "audience_mismatch"),
        ({"--issuer": "https://elsewhere.example"}, "issuer_mismatch"),
        ({"--tenant": "nobody"}, "claim_malformed"),
        ({"--subject": "somebody@example.com"}, "sidecar: warning: "),
    ],
)
def test_minting_warns_of_a_token_that_the_edge_would_refuse(
    run: Run, files: Path, changed: dict[str, str], said: str
) -> None:
    options = {"--issuer": ISSUER, "--audience": AUDIENCE, "--tenant": TENANT, **changed}
    arguments = [each for pair in options.items() for each in pair]
    key, config = ("--key", files / "key.pem"), ("--config", files / "config.yaml")
    code, out, err = run("token", "mint", *key, *config, *arguments)
    assert code == 0
    assert out.count(".") == 2
    assert (said in err) if said else (err == "")
    code, out, _ = run("token", "mint", *key, *config, *arguments, "--json")
    assert bool(json.loads(out)["warnings"]) == bool(said)


def test_minting_without_settings_warns_by_the_default_ones(run: Run, files: Path) -> None:
    arguments = ("--issuer", "https://any", "--audience", "any", "--tenant", TENANT)
    _, _, err = run("token", "mint", "--key", files / "key.pem", *arguments)
    assert err == ""
    *_, err = run("token", "mint", "--key", files / "key.pem", *arguments, "--ttl-seconds", 3600)
    assert "sidecar: warning: the edge would deny this token: token_lifetime_too_long" in err


@pytest.mark.parametrize("stdin", [b"", b"\n \n"])
def test_nothing_to_verify_is_neither_good_nor_refused(run: Run, files: Path, stdin: bytes) -> None:
    code, out, err = run("token", "verify", "--jwks", files / "jwks.json", stdin=stdin)
    assert (code, out) == (2, "")
    assert "standard input has no token" in err


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
