"""``sidecar config init``: the smallest sidecar and Envoy files that fit together."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from sidecar.cli.arguments import port_number, whole_number
from sidecar.cli.config_init_remote import (
    FOLDER,
    add_remote_options,
    certificate_lines,
    issuer_lines,
    listen_mtls,
    remote_files,
    remote_values,
)
from sidecar.cli.envoy_file import addresses, envoy_text
from sidecar.cli.envoy_init import ENVOY, add_edge_options, choices_of
from sidecar.cli.files import write_text
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.common.errors import Fault
from sidecar.config.load import parse_config
from sidecar.config.model import Config
from sidecar.config.shown import scalar

EXIT_OK = 0
SIDECAR = "sidecar.yaml"


def add_init(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``init`` to the commands of ``config``."""
    init = commands.add_parser(
        "init",
        help="write a first sidecar.yaml, and an Envoy file that fits it",
        description=f"Write the smallest {SIDECAR} that serves: one issuer of tokens, one route "
        f"that requires a token, one certificate from Vault PKI. With --envoy an {ENVOY} that "
        "fits it, with the same addresses, ports and names. No file is replaced without --force.",
    )
    for name, words in (
        ("--vault", "the address of Vault or OpenBao, https://host:port"),
        ("--issuer", "who signs access tokens: their claim iss"),
        ("--audience", "whom they are for: their claim aud"),
        ("--host", "the host name that clients use, for the certificate"),
    ):
        init.add_argument(name, required=True, metavar=name[2:].upper(), help=words)
    for name, default, words in (
        ("--token-file", "/run/vault/token", "the file with Vault's token, kept by a Vault agent"),
        ("--role", "edge", "the role of Vault PKI that signs the certificate"),
        ("--authz", "127.0.0.1:9110", "where Envoy asks; several workers take the ports after it"),
        ("--sds", "127.0.0.1:9101", "where Envoy fetches its certificate; or unix:/path"),
        ("--admin", "127.0.0.1:9102", "metrics and health"),
    ):
        init.add_argument(
            name, default=default, metavar="VALUE", help=f"{words} (default: %(default)s)"
        )
    init.add_argument(
        "--workers",
        type=port_number,
        default=1,
        metavar="N",
        help="processes that answer Checks (default: %(default)s)",
    )
    add_edge_options(init)
    init.add_argument(
        "--envoy-uid",
        type=whole_number,
        metavar="N",
        help="the user that Envoy runs as, where SDS is on a Unix socket (default: our own)",
    )
    add_remote_options(init)
    init.add_argument("--vault-ca", metavar="FILE", help="a CA bundle for Vault's address")
    init.add_argument("--envoy", action="store_true", help=f"write {ENVOY} too")
    init.add_argument(
        "--directory", type=Path, default=Path(), metavar="DIR", help="where to (default: here)"
    )
    init.add_argument("--force", action="store_true", help="replace files that are there")
    add_json(init, "the files that were written,")
    init.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    text = "\n".join(sidecar_lines(options)) + "\n"
    config = parse_config(text, f"the new {SIDECAR}")
    made = {SIDECAR: text}
    if options.envoy:
        made[ENVOY] = envoy_file(config, options)
    if options.sds_peer:
        values = {**addresses(config, choices_of(options)), **remote_values(config, options)}
        made |= {str(path): content for path, content in remote_files(values)}
        _make_folder(options.directory / FOLDER)
    for name, content in made.items():
        write_text(options.directory / name, content, replace=options.force)
    paths = [str(options.directory / name) for name in made]
    if options.json:
        print_json({"files": paths})
        return EXIT_OK
    print(f"written: {', '.join(paths)}")
    print_aside(f"then: sidecar config check {paths[0]}; sidecar serve --config {paths[0]}")
    if options.envoy:
        print_aside(f"and beside it: envoy -c {paths[1]}")
    if options.sds_peer:
        folder = scalar(options.remote_folder)
        print_aside(f"on another host: {FOLDER}/ as {folder}, then envoy -c {folder}/envoy.yaml")
    return EXIT_OK


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as exc:
        raise Fault(f"{path} can't be made: {exc.strerror}") from exc


def sidecar_lines(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the sidecar's file."""
    yield "# A first configuration of Septem Sidecar, by `sidecar config init`. What is not here"
    yield "# has its default: `sidecar config show`; config.example.yaml explains every setting."
    yield "listen:"
    workers = f", workers: {options.workers}" if options.workers > 1 else ""
    yield f"  authz: {{address: {scalar(options.authz)}{workers}}}"
    uids = f", peer_uids: [{options.envoy_uid}]" if options.envoy_uid is not None else ""
    yield f"  sds: {{address: {scalar(options.sds)}{uids}{listen_mtls(options)}}}"
    yield f"  admin: {{address: {scalar(options.admin)}}}"
    yield "vault:"
    yield f"  address: {scalar(options.vault)}"
    if options.vault_ca is not None:
        yield f"  ca_file: {scalar(options.vault_ca)}"
    yield f"  auth: {{method: token_file, path: {scalar(options.token_file)}}}"
    yield "tokens:"
    yield "  issuers:"
    yield f"    - issuer: {scalar(options.issuer)}"
    yield f"      audiences: [{scalar(options.audience)}]"
    yield "      # The key, a PEM, a JWK or a JWKS; or source: vault_transit, jwks or oidc."
    yield "      keys: {source: vault_kv, mount: secret, path: iam/jwt-signing-key, field: value}"
    yield "routes:  # the first that matches decides; no match: 403"
    yield "  - {name: application, path_prefix: /, auth: required}"
    yield "issuers:"
    yield f"  - {{name: internal, type: vault_pki, mount: pki, role: {scalar(options.role)}}}"
    yield from issuer_lines(options)
    yield "certificates:"
    yield f"  - {{name: edge, issuer: internal, common_name: {scalar(options.host)}}}"
    yield from certificate_lines(options)


def envoy_file(config: Config, options: argparse.Namespace) -> str:
    """Return Envoy's file for a sidecar with this configuration. Raises ``Fault``."""
    if options.sds_peer:
        raise Fault(
            "--envoy is for an Envoy on this machine, which shows no certificate; with --sds-peer "
            f"every Envoy must: {FOLDER}/ has the files of one"
        )
    return envoy_text(config, choices_of(options), SIDECAR)
