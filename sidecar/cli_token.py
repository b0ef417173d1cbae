"""``sidecar token``: verify tokens by the very rules the server has, and mint them for tests."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidecar.clock import wall_seconds
from sidecar.errors import Denied, Fault

MAX_KEY_FILE_BYTES = 1_048_576
MAX_LINE_BYTES = 1_048_576


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``token verify`` and ``token mint``."""
    token = commands.add_parser("token", help="verify tokens, or mint them for development")
    subcommands = token.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_verify(subcommands)
    _add_mint(subcommands)


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser(
        "verify",
        help="verify tokens read from standard input",
        description="Read access tokens, one a line, on standard input and print one JSON object "
        "a line: what they claim, or why they are refused. Exit 0 only if all are accepted.",
    )
    verify.add_argument(
        "--jwks", type=Path, required=True, metavar="FILE", help="the keys: a JWKS, a JWK or a PEM"
    )
    verify.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take issuers, audiences and limits from here (default: any issuer and audience)",
    )
    verify.add_argument(
        "--at",
        type=_time,
        metavar="TIME",
        help="verify as of this time (RFC 3339 or Unix seconds) and not now",
    )
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from sidecar.authz.policy import token_policy  # noqa: PLC0415 - each command imports what it needs
    from sidecar.config import load_config  # noqa: PLC0415
    from sidecar.keys.keyring import KeyRing  # noqa: PLC0415
    from sidecar.keys.sources import parse_keys  # noqa: PLC0415
    from sidecar.tokens.verifier import TokenPolicy, verify_token  # noqa: PLC0415

    policy = token_policy(load_config(options.config).tokens) if options.config else TokenPolicy()
    ring = KeyRing(parse_keys(read_text(options.jwks), None))
    refused = False
    for line in _lines(sys.stdin.buffer):
        now = wall_seconds() if options.at is None else options.at
        try:
            verified = verify_token(line, ring, policy, now)
        except Denied as denied:
            refused = True
            _print_json({"ok": False, "reason": denied.reason, "detail": denied.detail})
        else:
            _print_json({"ok": True, "kid": verified.kid, "claims": verified.payload})
    return 1 if refused else 0


def _add_mint(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    mint = commands.add_parser(
        "mint",
        help="sign a token for development",
        description="Sign one access token with a private key of yours and print it. For "
        "development and tests: in production an identity provider does this.",
    )
    mint.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="private key, EC P-256, PEM (openssl ecparam -genkey -name prime256v1 -noout)",
    )
    mint.add_argument("--kid", help="key id (default: the key's RFC 7638 thumbprint)")
    mint.add_argument("--issuer", required=True, help="claim iss")
    mint.add_argument(
        "--audience", required=True, action="append", help="claim aud; may be given again"
    )
    mint.add_argument("--tenant", required=True, metavar="UUID", help="claim tenantId")
    mint.add_argument("--subject", default="developer", help="claim sub (default: %(default)s)")
    mint.add_argument("--role", action="append", default=[], help="claim roles; may be given again")
    mint.add_argument(
        "--ttl-seconds",
        type=_ttl,
        default=900,
        metavar="N",
        help="life of the token (default: %(default)s)",
    )
    mint.set_defaults(run=_mint)


def _mint(options: argparse.Namespace) -> int:
    from sidecar.tokens.mint import mint_token, read_private_key  # noqa: PLC0415

    key = read_private_key(read_text(options.key), str(options.key))
    now = wall_seconds()
    token = mint_token(
        key,
        now=now,
        kid=options.kid,
        issuer=options.issuer,
        audiences=options.audience,
        tenant_id=options.tenant,
        subject=options.subject,
        roles=options.role,
        ttl_seconds=options.ttl_seconds,
    )
    print(token)
    return 0


def _lines(stream: Any) -> Iterator[bytes]:
    """Read non-empty lines; one over ``MAX_LINE_BYTES`` is cut, and so refused for its size."""
    while line := stream.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            _skip_line(stream)
        if stripped := line.strip(b" \t\r\n"):
            yield stripped


def _skip_line(stream: Any) -> None:
    while (chunk := stream.readline(MAX_LINE_BYTES)) and not chunk.endswith(b"\n"):
        pass


def read_text(path: Path) -> str:
    """Read a key file; raises ``Fault`` naming it, never its content."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_KEY_FILE_BYTES + 1)
        if len(raw) > MAX_KEY_FILE_BYTES:
            raise Fault(f"{path} is larger than {MAX_KEY_FILE_BYTES} bytes: is it a key file?")
        return raw.decode("utf-8")
    except OSError as exc:
        raise Fault(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise Fault(f"{path} is not UTF-8 text: a PEM, a JWK or a JWKS is expected") from exc


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither RFC 3339 (2026-11-24T12:00:00Z) nor Unix seconds"
        ) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _ttl(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 86_400:  # noqa: PLR2004 - a day is enough for a test
        raise argparse.ArgumentTypeError("a number of seconds from 1 to 86400 is expected")
    return int(text)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, separators=(",", ":")), flush=True)
