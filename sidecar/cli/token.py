"""``sidecar token``: verify tokens with the server's own rules, and mint them for tests."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt

from sidecar.cli.arguments import time_argument
from sidecar.cli.files import read_text
from sidecar.cli.issuer_shape import shaped
from sidecar.cli.output import add_json, print_json, print_json_line
from sidecar.cli.token_evaluator import TokenEvaluator, TokenResult, keys_of, parse_revocations
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.tokens.algorithms import ALGORITHMS, DEFAULT_ALGORITHMS
from sidecar.tokens.keyring import VerificationKey
from sidecar.tokens.mint import model_claims, read_signing_key, sign_token
from sidecar.tokens.revocation import RevocationEntry

MAX_LINE_BYTES = 1_048_576
MAX_REVOCATION_BYTES = 67_108_864
_DAY_SECONDS = 86_400
"""The longest life of a token that is minted here: enough for a test."""
EXIT_OK, EXIT_REFUSED, EXIT_NOTHING = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``token verify`` and ``token mint``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_verify(subcommands)
    _add_mint(subcommands)


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser(
        "verify",
        help="verify tokens read from standard input",
        description="Read access tokens, one a line, on standard input and print one JSON object "
        "a line: their claims, or why the edge would deny them. Exit 0 only if there is at least "
        "one token and all are accepted, 1 if one is denied, 2 if there is none.",
    )
    verify.add_argument(
        "--jwks", type=Path, required=True, metavar="FILE", help="the keys: a JWKS, a JWK or a PEM"
    )
    verify.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="read issuers, audiences and limits from here (default: any issuer and audience)",
    )
    add_key_options(verify)
    verify.add_argument(
        "--at",
        type=time_argument,
        metavar="TIME",
        help="verify as of this time (RFC 3339 or Unix seconds) instead of now",
    )
    add_json(verify, "the results (always), one a line,")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    config = load_config(options.config) if options.config else None
    keys = keys_of(read_text(options.jwks), config, options.issuer)
    entry = read_revocation_file(options.revocations)
    at: float | None = options.at
    evaluator = TokenEvaluator(config, keys, entry)
    read = refused = 0
    for line in _lines(sys.stdin.buffer):
        result = evaluator.judge(line, wall_seconds() if at is None else at)
        read, refused = read + 1, refused + (not result.ok)
        _show(result)
    if not read:
        print(
            "sidecar: standard input has no token: send access tokens, one a line",
            file=sys.stderr,
        )
        return EXIT_NOTHING
    return EXIT_REFUSED if refused else EXIT_OK


def _show(result: TokenResult) -> None:
    if not result.ok:
        print_json_line({"ok": False, "reason": result.reason, "detail": result.detail})
        return
    shown: dict[str, Any] = {"ok": True, "kid": result.kid, "claims": result.claims}
    if result.warnings:
        shown["warnings"] = result.warnings
    print_json_line(shown)


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the keys' issuer and the revocations."""
    parser.add_argument(
        "--issuer",
        metavar="ISS",
        help="the issuer of these keys (default: the issuer of the configuration, if it has one)",
    )
    parser.add_argument(
        "--revocations",
        type=Path,
        metavar="FILE",
        help="the revocations: the entry of keys.revocations as JSON (vault kv get -format=json)",
    )


def read_revocation_file(path: Path | None) -> RevocationEntry | None:
    """Read a revocation list; raise ``Fault`` naming the file."""
    if path is None:
        return None
    try:
        return parse_revocations(read_text(path, MAX_REVOCATION_BYTES))
    except Fault as fault:
        raise Fault(f"{path}: {fault}") from None


def _add_mint(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    mint = commands.add_parser(
        "mint",
        help="sign a token for development",
        description="Sign one access token with your private key and print it. For "
        "development and tests: in production an identity provider does this.",
    )
    mint.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="private key, PEM, of the type that the issuer's algorithms need: without --config "
        "EC P-256 (openssl ecparam -genkey -name prime256v1 -noout)",
    )
    mint.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="sign as the issuer's algorithms and claims are configured here, and warn of a token "
        "that the edge would deny (default: with the default settings)",
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
        help="lifetime of the token in seconds (default: %(default)s)",
    )
    add_json(mint, "the token and the warnings")
    mint.set_defaults(run=_mint)


def _mint(options: argparse.Namespace) -> int:
    config = load_config(options.config) if options.config else None
    entry = _issuer_of(config, options.issuer)
    algorithms = DEFAULT_ALGORITHMS
    if entry is not None:
        algorithms = tuple(ALGORITHMS[name] for name in entry.algorithms)
    key, algorithm = read_signing_key(read_text(options.key), str(options.key), algorithms)
    now = wall_seconds()
    typ: str | None = "at+jwt"
    claims = model_claims(
        now=now,
        issuer=options.issuer,
        audiences=options.audience,
        tenant_id=options.tenant,
        subject=options.subject,
        roles=options.role,
        ttl_seconds=options.ttl_seconds,
    )
    if config is not None and entry is not None:
        typ, claims = shaped(claims, entry, config.tokens)
    token = sign_token(key, claims, kid=options.kid, typ=typ, algorithm=algorithm)
    kid = jwt.get_unverified_header(token)["kid"]
    known = VerificationKey(kid, key.public_key(), options.issuer, algorithm)
    warnings = _refusal(config, known, token, now)
    if options.json:
        print_json({"token": token, "warnings": warnings})
        return EXIT_OK
    for warning in warnings:
        print(printable(f"sidecar: warning: {warning}"), file=sys.stderr)
    print(token)
    return EXIT_OK


def _issuer_of(config: model.Config | None, issuer: str) -> model.TokenIssuerSettings | None:
    """Return the settings of an issuer; ``None`` where there are none."""
    listed = () if config is None else config.tokens.issuers
    return next((each for each in listed if each.issuer == issuer), None)


def _refusal(
    config: model.Config | None, known: VerificationKey, token: str, now: float
) -> list[str]:
    """Return why the edge would deny a token of this key; nothing where it would not."""
    result = TokenEvaluator(config, [known], None).judge(token.encode(), now)
    if result.ok:
        return list(result.warnings)
    detail = f" ({result.detail})" if result.detail else ""
    return [f"the edge would deny this token: {result.reason}{detail}"]


def _lines(stream: Any) -> Iterator[bytes]:
    """Yield the non-empty lines; one over ``MAX_LINE_BYTES`` is cut, and so denied for its size."""
    while line := stream.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            _skip_line(stream)
        if stripped := line.strip(b" \t\r\n"):
            yield stripped


def _skip_line(stream: Any) -> None:
    while (chunk := stream.readline(MAX_LINE_BYTES)) and not chunk.endswith(b"\n"):
        pass


def _ttl(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _DAY_SECONDS:
        raise argparse.ArgumentTypeError(
            f"a number of seconds from 1 to {_DAY_SECONDS} is expected"
        )
    return int(text)
