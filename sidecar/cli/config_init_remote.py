"""``sidecar config init --sds-peer``: SDS for the Envoys of other hosts, and the files of one."""

import argparse
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from sidecar.common.errors import Fault
from sidecar.config.base import FilePath, SpiffeId
from sidecar.config.convert import convert
from sidecar.config.model import Config
from sidecar.config.problem import Problem
from sidecar.config.shown import scalar
from workload.x509.identities import is_spiffe_id

FOLDER = "envoy-remote"
FILES = ("envoy.yaml", "host.yaml", "trust.yaml")
_CERTIFICATE, _BUNDLE, _ISSUER = "sds", "sds-peers", "services"


def add_remote_options(init: argparse.ArgumentParser) -> None:
    """Add the options of SDS across hosts."""
    remote = init.add_argument_group(
        "SDS for Envoys of other hosts",
        "With --sds-peer, listen.sds has mutual TLS, and the files of such an Envoy are written to "
        f"{FOLDER}/.",
    )
    remote.add_argument(
        "--sds-peer",
        action="append",
        default=[],
        metavar="SPIFFE-ID",
        help="an Envoy that may fetch private keys; may be given several times",
    )
    remote.add_argument(
        "--sds-id",
        metavar="SPIFFE-ID",
        help="the sidecar's own name there (default: spiffe://<the first peer's domain>/sidecar)",
    )
    for name, default, words in (
        ("--remote-folder", "/etc/envoy", f"where the files of {FOLDER}/ are on the other host"),
        ("--remote-tls", "/run/envoy/tls", "the folder there with host.pem, host.key and ca.pem"),
    ):
        remote.add_argument(
            name, default=default, metavar="PATH", help=f"{words} (default: %(default)s)"
        )


def sds_id(options: argparse.Namespace) -> str:
    """Return the SPIFFE ID that the sidecar shows to Envoys. Raises ``Fault``."""
    for each in options.sds_peer:
        if not is_spiffe_id(each):
            raise Fault(f"--sds-peer {each!r} is no SPIFFE ID, spiffe://domain/path")
    if options.sds_id is None:
        domain = options.sds_peer[0].removeprefix("spiffe://").partition("/")[0]
        return f"spiffe://{domain}/sidecar"
    return _checked(options.sds_id, SpiffeId, "--sds-id")


def listen_mtls(options: argparse.Namespace) -> str:
    """Return what ``listen.sds`` has besides its address."""
    if not options.sds_peer:
        return ""
    return f", mtls: {{certificate: {_CERTIFICATE}, trust_bundle: {_BUNDLE}}}"


def issuer_lines(options: argparse.Namespace) -> Iterator[str]:
    """Yield the entries of ``issuers`` for mTLS between hosts."""
    if options.sds_peer:
        yield (
            f"  - {{name: {_ISSUER}, type: vault_pki, mount: services, role: service,"
            " ttl_seconds: 86400}"
        )


def certificate_lines(options: argparse.Namespace) -> Iterator[str]:
    """Yield the rest of ``certificates``, and the trust bundle."""
    if not options.sds_peer:
        return
    name = scalar(sds_id(options))
    yield f"  - {{name: {_CERTIFICATE}, issuer: {_ISSUER}, spiffe_id: {name}}}"
    yield "trust_bundles:"
    yield f"  - name: {_BUNDLE}  # who may fetch private keys over listen.sds"
    yield "    roots: {source: vault_pki, mounts: [services], crl: true}"
    yield f"    peers: [{', '.join(map(scalar, options.sds_peer))}]"


def remote_values(config: Config, options: argparse.Namespace) -> dict[str, str]:
    """Return the values of the templates that only they have. Raises ``Fault``."""
    sds = config.listen.sds
    if sds is None or sds.address.startswith("unix:"):
        raise Fault("--sds-peer needs --sds host:port, where Envoys of other hosts connect")
    return {
        "SDS_ID": scalar(sds_id(options)),
        "FOLDER": _checked(options.remote_folder, FilePath, "--remote-folder").rstrip("/"),
        "TLS_FOLDER": _checked(options.remote_tls, FilePath, "--remote-tls").rstrip("/"),
    }


def remote_files(values: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield the files of an Envoy on another host, filled in."""
    for name in FILES:
        text = files("sidecar.cli").joinpath(FOLDER.replace("-", "_"), name).read_text("utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        yield Path(FOLDER, name), text


def _checked(text: str, kind: Any, option: str) -> str:
    found: list[Problem] = []
    convert(text, kind, found)
    if found or any(sign in text for sign in " '\"#{}[],\n"):
        why = found[0].message if found else "must have no spaces, quotes, brackets, commas or #"
        raise Fault(f"{option} {text!r} {why}")
    return text
