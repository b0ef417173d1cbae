"""``sidecar module``: sign a module's bundle, and verify one as the edge does."""

import argparse
import getpass
import hashlib
import sys
from pathlib import Path

from sidecar.cli.entry_file import entry_of
from sidecar.cli.files import read_text
from sidecar.cli.output import add_json, print_json
from sidecar.common.errors import Denied, Fault
from sidecar.common.printable import printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.keys.sources import parse_p256_keys
from sidecar.module_signing.install import ModulePolicy, check_bundle
from sidecar.module_signing.publisher_entry import read_publishers
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import HEADER_NAME, sign_digest
from sidecar.tokens.mint import read_private_key

MAX_BUNDLE_BYTES = 1_073_741_824
MAX_PUBLISHERS_BYTES = 67_108_864
_CHUNK_BYTES = 1_048_576


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``module sign`` and ``module verify``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_sign(subcommands)
    _add_verify(subcommands)


def _add_sign(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sign = commands.add_parser(
        "sign",
        help="sign a bundle",
        description="Sign a bundle's SHA-256 with ES256 and write the signature next to it, to "
        "BUNDLE.sig. Its one line is the value of the header x-module-signature. An encrypted "
        "key's passphrase is asked for; it is never taken from an argument or the environment.",
    )
    sign.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="private key, EC P-256, PEM; encrypted or not",
    )
    sign.add_argument(
        "--output", type=Path, metavar="FILE", help="where to write it (default: BUNDLE.sig)"
    )
    sign.add_argument(
        "--header",
        action="store_true",
        help="print the whole header, for curl -H, instead of writing a file",
    )
    sign.add_argument("bundle", type=Path, metavar="BUNDLE", help="for example remoteEntry.js")
    add_json(sign, "the signature and the digest")
    sign.set_defaults(run=_sign)


def _sign(options: argparse.Namespace) -> int:
    digest = digest_of(options.bundle)
    key = read_private_key(read_text(options.key), str(options.key), _ask_passphrase)
    signature = sign_digest(digest, key)
    shown = {"signature": signature, "sha256": digest.hex()}
    if options.header:
        if options.json:
            print_json({"header": HEADER_NAME, **shown})
        else:
            print(f"{HEADER_NAME}: {signature}")
        return 0
    path = options.output or signature_path(options.bundle)
    try:
        path.write_text(signature + "\n", encoding="ascii")
    except OSError as exc:
        raise Fault(f"{path} cannot be written: {exc.strerror}") from exc
    if options.json:
        print_json({"file": str(path), **shown})
    else:
        print(f"{path}: sha256:{digest.hex()}")
    return 0


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser(
        "verify",
        help="verify a bundle's signature",
        description="Verify a bundle's signature, as the edge does on a route with "
        "module: signed: its size, whether it is withdrawn, its signature and its publisher. "
        "Exit 0 if it is valid; otherwise 1, with the reason that the edge would give.",
    )
    whose = verify.add_mutually_exclusive_group(required=True)
    whose.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the publisher's public keys: PEM, a JWK or a JWKS; no bundle counts as withdrawn",
    )
    whose.add_argument(
        "--publishers",
        type=Path,
        metavar="FILE",
        help="the entry of modules.path as JSON (vault kv get -format=json): all publishers' "
        "keys, and the withdrawn bundles",
    )
    verify.add_argument(
        "--config", type=Path, metavar="FILE", help="read modules.max_bundle_bytes from this file"
    )
    verify.add_argument(
        "--signature", type=Path, metavar="FILE", help="the signature (default: BUNDLE.sig)"
    )
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    add_json(verify, "the result")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    limit = _bundle_limit(options.config)
    signature = read_text(options.signature or signature_path(options.bundle)).strip().encode()
    body = _read_bundle(options.bundle, limit)
    try:
        held = check_bundle(
            body,
            {HEADER_NAME: signature},
            (),
            mode="signed",
            policy=ModulePolicy(limit),
            publishers=_publishers(options),
        )
    except Denied as denied:
        if options.json:
            print_json({"valid": False, "reason": str(denied.reason), "detail": denied.detail})
            return 1
        print(f"{printable(options.bundle)}: {printable(denied)}", file=sys.stderr)
        return 1
    if options.json:
        print_json({"valid": True, "sha256": held.sha256, "publisher": held.publisher})
        return 0
    print(f"{printable(options.bundle)}: good; sha256:{held.sha256} {printable(held.publisher)}")
    return 0


def _bundle_limit(path: Path | None) -> int:
    modules = load_config(path).modules if path is not None else None
    return (modules or model.Modules()).max_bundle_bytes


def _publishers(options: argparse.Namespace) -> Publishers:
    if options.publishers is None:
        keys = parse_p256_keys(read_text(options.key))
        return Publishers(PublisherKey(str(options.key), public) for public in keys)
    text = read_text(options.publishers, MAX_PUBLISHERS_BYTES)
    try:
        publishers = read_publishers(entry_of(text, "the list of publishers"))
    except Fault as fault:
        raise Fault(f"{options.publishers}: {fault}") from None
    for problem in publishers.problems:
        print(printable(f"{options.publishers}: {problem}"), file=sys.stderr)
    return publishers


def _read_bundle(path: Path, limit: int) -> bytes:
    """Read a bundle, at most one byte more than ``limit``."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as exc:
        raise Fault(f"{path} cannot be read: {exc.strerror}") from exc


def signature_path(bundle: Path) -> Path:
    """Return the default path of a bundle's signature."""
    return bundle.with_name(bundle.name + ".sig")


def digest_of(path: Path) -> bytes:
    """Return a file's SHA-256; raise ``Fault`` if it can't be read, or is empty."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > MAX_BUNDLE_BYTES:
                    raise Fault(f"{path} is larger than {MAX_BUNDLE_BYTES} bytes")
                digest.update(chunk)
    except OSError as exc:
        raise Fault(f"{path} cannot be read: {exc.strerror}") from exc
    if not size:
        raise Fault(f"{path} is empty")
    return digest.digest()


def _ask_passphrase(source: str) -> str:
    try:
        return getpass.getpass(f"Passphrase of {source}: ")
    except EOFError:
        raise Fault(
            f"{source} is encrypted, and no passphrase was entered: run the command in a terminal"
        ) from None
