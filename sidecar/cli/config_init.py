"""``sidecar config init``: the smallest sidecar and Envoy files that fit together."""

import argparse
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from sidecar.cli.config_envoy import removal
from sidecar.cli.config_init_remote import (
    FOLDER,
    add_remote_options,
    certificate_lines,
    issuer_lines,
    listen_mtls,
    remote_files,
    remote_values,
)
from sidecar.cli.output import add_json, print_json
from sidecar.common.errors import Fault
from sidecar.config.base import Address
from sidecar.config.convert import convert
from sidecar.config.endpoints import check_endpoints
from sidecar.config.load import parse_config
from sidecar.config.model import Config
from sidecar.config.network import is_address
from sidecar.config.problem import Problem
from sidecar.config.shown import scalar
from sidecar.headers.envoy_patterns import (
    HOST_OF_TWO_READINGS,
    REQUEST_TRAILERS,
    RESPONSE_TRAILERS,
    request_names,
)
from sidecar.headers.tenant import TRUSTED
from sidecar.transport.sockets import path_of, split_address

EXIT_OK = 0
SIDECAR, ENVOY = "sidecar.yaml", "envoy.yaml"
_LAST_PORT = 65_535
_MUTATION = 26
"""The indentation of one mutation in the template."""


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
        ("--application", "127.0.0.1:3000", "where Envoy sends what is allowed"),
        ("--listen", "127.0.0.1", "the address on which Envoy listens; 0.0.0.0 for all"),
    ):
        init.add_argument(
            name, default=default, metavar="VALUE", help=f"{words} (default: %(default)s)"
        )
    for name, number, words in (
        ("--workers", 1, "processes that answer Checks"),
        ("--http-port", 8080, "Envoy's port that redirects"),
        ("--https-port", 8443, "Envoy's port for TLS"),
        ("--envoy-admin-port", 9901, "Envoy's own admin port, on loopback"),
    ):
        init.add_argument(
            name, type=_port, default=number, metavar="N", help=f"{words} (default: %(default)s)"
        )
    init.add_argument(
        "--public-port",
        type=_port,
        metavar="N",
        help="the port that clients use for TLS, where another is in front (default: --https-port)",
    )
    init.add_argument(
        "--envoy-uid",
        type=_number,
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


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _port(text: str) -> int:
    if not 1 <= (number := _number(text)) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 1 to {_LAST_PORT}")
    return number


def _init(options: argparse.Namespace) -> int:
    text = "\n".join(sidecar_lines(options)) + "\n"
    config = parse_config(text, f"the new {SIDECAR}")
    made = {SIDECAR: text}
    if options.envoy:
        made[ENVOY] = envoy_file(config, options)
    if options.sds_peer:
        values = {**_addresses(config, options), **remote_values(config, options)}
        made |= {str(path): content for path, content in remote_files(values)}
        _make_folder(options.directory / FOLDER)
    for name, content in made.items():
        _write(options.directory / name, content, replace=options.force)
    paths = [str(options.directory / name) for name in made]
    if options.json:
        print_json({"files": paths})
        return EXIT_OK
    print(f"written: {', '.join(paths)}")
    print(f"then: sidecar config check {paths[0]}; sidecar serve --config {paths[0]}")
    if options.envoy:
        print(f"and beside it: envoy -c {paths[1]}")
    if options.sds_peer:
        folder = scalar(options.remote_folder)
        print(f"on another host: {FOLDER}/ as {folder}, then envoy -c {folder}/envoy.yaml")
    return EXIT_OK


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as exc:
        raise Fault(f"{path} can't be made: {exc.strerror}") from exc


def _write(path: Path, content: str, *, replace: bool) -> None:
    try:
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise Fault(f"{path} is there already: --force replaces it") from None
    except OSError as exc:
        raise Fault(f"{path} can't be written: {exc.strerror}") from exc


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
    endpoints = check_endpoints(config.listen.authz)
    values = {
        **_addresses(config, options),
        "HTTP_PORT": str(options.http_port),
        "PUBLIC_PORT": str(options.public_port or options.https_port),
        "TRUSTED": "\n".join(f"{' ' * _MUTATION}- remove: {name}" for name in TRUSTED),
        "REQUEST_NAMES": "\n".join(removal(_MUTATION, request_names())),
        "REQUEST_TRAILERS": "\n".join(removal(_MUTATION, REQUEST_TRAILERS)),
        "RESPONSE_TRAILERS": "\n".join(removal(_MUTATION, RESPONSE_TRAILERS)),
        "HSTS": scalar(config.headers.hsts),
        "ODD_HOST": scalar(HOST_OF_TWO_READINGS),
        # With several workers a try ends early, so that another is asked (envoy/README.md).
        "TRY_SECONDS": "0.2" if len(endpoints) > 1 else "10",
        "AUTHZ": "\n".join(map(_endpoint, endpoints)),
    }
    text = files("sidecar.cli").joinpath("envoy_start.yaml").read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _addresses(config: Config, options: argparse.Namespace) -> dict[str, str]:
    """Return the values that every Envoy's file has. Raises ``Fault``."""
    if not is_address(options.listen):
        raise Fault(f"--listen {options.listen!r} must be an IP address")
    found: list[Problem] = []
    convert(options.application, Address, found)
    if found:
        raise Fault(f"--application {options.application!r} {found[0].message}")
    sds = config.listen.sds.address if config.listen.sds is not None else ""
    return {
        "LISTEN": scalar(options.listen),
        "HTTPS_PORT": str(options.https_port),
        "ENVOY_ADMIN_PORT": str(options.envoy_admin_port),
        "APPLICATION_TYPE": "STRICT_DNS" if _is_named(options.application) else "STATIC",
        "APPLICATION": _endpoint(options.application),
        "SDS_TYPE": "STRICT_DNS" if _is_named(sds) else "STATIC",
        "SDS": _endpoint(sds),
    }


def _is_named(address: str) -> bool:
    """Tell whether an address has a host name that must be looked up."""
    if path_of(address) is not None:
        return False
    host, _ = split_address(address)
    return host != "localhost" and not is_address(host)


def _endpoint(address: str) -> str:
    """Return one endpoint of a cluster."""
    path = path_of(address)
    if path is not None:
        return f"{' ' * 14}- endpoint: {{address: {{pipe: {{path: {scalar(str(path))}}}}}}}"
    host, port = split_address(address)
    shown: Any = "127.0.0.1" if host == "localhost" else host
    socket = f"{{address: {scalar(shown)}, port_value: {port}}}"
    return f"{' ' * 14}- endpoint: {{address: {{socket_address: {socket}}}}}"
