"""``sidecar module``: sign a module's bundle, and verify one as the edge would."""

import argparse
import getpass
import hashlib
import sys
from pathlib import Path

from sidecar.cli_token import read_text
from sidecar.errors import Denied, Fault

MAX_BUNDLE_BYTES = 1_073_741_824
_CHUNK_BYTES = 1_048_576


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``module sign`` and ``module verify``."""
    module = commands.add_parser("module", help="sign and verify bundles of modules")
    subcommands = module.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_sign(subcommands)
    _add_verify(subcommands)


def _add_sign(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sign = commands.add_parser(
        "sign",
        help="sign a bundle",
        description="Sign a bundle's SHA-256 with ES256 and write the signature beside it, to "
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
        help="print the whole header for curl -H instead of writing a file",
    )
    sign.add_argument("bundle", type=Path, metavar="BUNDLE", help="for example remoteEntry.js")
    sign.set_defaults(run=_sign)


def _sign(options: argparse.Namespace) -> int:
    from sidecar.modules.signature import HEADER_NAME, sign_digest  # noqa: PLC0415 - as in cli
    from sidecar.tokens.mint import read_private_key  # noqa: PLC0415

    digest = digest_of(options.bundle)
    key = read_private_key(read_text(options.key), str(options.key), _ask_passphrase)
    signature = sign_digest(digest, key)
    if options.header:
        print(f"{HEADER_NAME}: {signature}")
        return 0
    path = options.output or signature_path(options.bundle)
    try:
        path.write_text(signature + "\n", encoding="ascii")
    except OSError as exc:
        raise Fault(f"{path} cannot be written: {exc.strerror}") from exc
    print(f"{path}: sha256:{digest.hex()}")
    return 0


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser(
        "verify",
        help="verify a bundle's signature",
        description="Hold a bundle against its signature and a publisher's public keys, by the "
        "rules of the edge. Exit 0 if it holds; otherwise 1, with the reason the edge would give.",
    )
    verify.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="the publisher's public keys: PEM, a JWK or a JWKS",
    )
    verify.add_argument(
        "--signature", type=Path, metavar="FILE", help="the signature (default: BUNDLE.sig)"
    )
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from sidecar.keys.sources import parse_keys  # noqa: PLC0415 - as in cli
    from sidecar.modules.publishers import PublisherKey, Publishers  # noqa: PLC0415
    from sidecar.modules.signature import find_publisher  # noqa: PLC0415

    name = str(options.key)
    keys = parse_keys(read_text(options.key), None)
    publishers = Publishers(PublisherKey(name, key.public) for key in keys)
    signature = read_text(options.signature or signature_path(options.bundle)).strip().encode()
    digest = digest_of(options.bundle)
    try:
        find_publisher(signature, digest, publishers)
    except Denied as denied:
        print(f"{options.bundle}: {denied}", file=sys.stderr)
        return 1
    print(f"{options.bundle}: good; sha256:{digest.hex()}")
    return 0


def signature_path(bundle: Path) -> Path:
    """Return where a bundle's signature stands by default."""
    return bundle.with_name(bundle.name + ".sig")


def digest_of(path: Path) -> bytes:
    """Return a file's SHA-256; raises ``Fault`` if it can't be read, or is empty."""
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
        raise Fault(f"{source} is encrypted, and no passphrase was given") from None
