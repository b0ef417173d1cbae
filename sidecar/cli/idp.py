"""``sidecar idp``: what an identity provider publishes, and what its tokens need here."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from sidecar.cli.files import read_text
from sidecar.cli.idp_report import Found, make_report, report_document, report_lines
from sidecar.cli.idp_sample import read_sample
from sidecar.cli.output import add_json, print_json
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config.rules_keys import issuer_url_problem
from sidecar.keys.metadata import IssuerMetadata
from sidecar.keys.published import JWKS_TYPES, DocumentClient, PublishedDocument

MAX_TOKEN_FILE_BYTES = 65_536
TIMEOUT_SECONDS = 5.0
EXIT_OK, EXIT_REFUSED = 0, 1
_STDIN = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``idp inspect``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    inspect = subcommands.add_parser(
        "inspect",
        help="what an issuer's tokens need in the configuration",
        description="Read what an issuer publishes (OpenID Connect Discovery, RFC 8414) and, with "
        "--token, one of its access tokens. Print what would be denied with the default "
        "settings and why, and the entry of tokens.issuers by which that token is accepted. "
        "Lines with CHOOSE are for a person to decide. Only the issuer's published documents are "
        "asked for: the token goes nowhere, and is not printed. Exit 0 if the entry has the "
        "token accepted, 1 if not.",
    )
    inspect.add_argument("issuer", metavar="ISSUER", help="as in the tokens' claim iss")
    inspect.add_argument(
        "--token",
        type=Path,
        metavar="FILE",
        help="a file with one access token; - reads it from standard input",
    )
    inspect.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="CAs of the issuer (default: the system's)"
    )
    inspect.add_argument(
        "--explain", action="store_true", help="say of each claim what is made of it"
    )
    add_json(inspect, "all of it")
    inspect.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    issuer: str = options.issuer
    if problem := issuer_url_problem(issuer):
        raise Fault(f"ISSUER {problem}")
    sample = None if options.token is None else read_sample(_read_token(options.token))
    ca_file = None if options.ca_file is None else str(options.ca_file)
    found = asyncio.run(_look(issuer, ca_file))
    keys: dict[str, Any] = {"source": "oidc"}
    if ca_file is not None:
        keys["ca_file"] = ca_file
    report = make_report(issuer, found, keys, sample, wall_seconds())
    if options.json:
        print_json(report_document(report))
    else:
        for line in report_lines(report, explained=options.explain):
            print(line)
    return EXIT_OK if report.trials is None or report.trials.accepted else EXIT_REFUSED


def _read_token(path: Path) -> str:
    if path != _STDIN:
        return read_text(path, MAX_TOKEN_FILE_BYTES)
    raw = sys.stdin.buffer.read(MAX_TOKEN_FILE_BYTES + 1)
    if len(raw) > MAX_TOKEN_FILE_BYTES:
        raise Fault(f"standard input has more than {MAX_TOKEN_FILE_BYTES} bytes: is it a token?")
    return raw.decode("utf-8", "replace")


async def _look(issuer: str, ca_file: str | None) -> Found:
    """Read an issuer's metadata and its keys. Raises ``Fault``."""
    name = f"discovery of {issuer}"
    client = DocumentClient(name, ca_file, TIMEOUT_SECONDS, monotonic_seconds)

    def read() -> Found:
        found = IssuerMetadata(issuer).read(client)
        content = client.read(PublishedDocument(found.jwks_uri, JWKS_TYPES)).content
        return Found(found.url, found.jwks_uri, content.decode("utf-8", "replace"))

    try:
        return await client.run(read)
    finally:
        client.close()
        client.reconnect()
