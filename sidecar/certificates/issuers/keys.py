"""The private keys of certificates: of the type that is configured, or that a role demands."""

import re
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.errors import Fault
from sidecar.config.certificates import KEY_BITS, CertificateKey
from workload.x509.servable import ServableKey

_CURVES: dict[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1}
_RSA_EXPONENT = 65_537
_THREADS = 2
_PATIENCE_SECONDS = 60.0
_TYPE = re.compile(r"role requires keys of type (\w+)")
_BITS = re.compile(r"role requires a minimum of a (\d+)-bit key")


class CertificateKeyFault(Fault):
    """A key could not be made."""

    retryable = True


class KeyKind(NamedTuple):
    """A type of key that Envoy serves."""

    type: str
    bits: int


P256 = KeyKind("ec", 256)
_runner = BlockingRunner("rsa-key", _THREADS)


def configured_kind(settings: CertificateKey | None) -> KeyKind | None:
    """Return the kind that the configuration names, if it does."""
    if settings is None:
        return None
    return KeyKind(settings.type, settings.bits or KEY_BITS[settings.type][0])


async def make_key(kind: KeyKind) -> ServableKey:
    """Make a key. RSA takes a tenth of a second and more, and is made in a thread."""
    if kind.type == "ec":
        return ec.generate_private_key(_CURVES[kind.bits]())
    try:
        return await _runner.run(
            lambda: rsa.generate_private_key(_RSA_EXPONENT, kind.bits), _PATIENCE_SECONDS
        )
    except (BlockingRunnerBusy, TimeoutError):
        raise CertificateKeyFault(
            "other RSA keys are being made; EC keys cost next to nothing"
        ) from None


def demanded_kind(words: str, sent: KeyKind) -> KeyKind | None:
    """Return the kind that a role of Vault PKI demands instead of what was ``sent``.

    ``words`` are Vault's, where it refused; ``None`` if they say nothing of keys, or demand one
    that Envoy does not serve.
    """
    if found := _TYPE.search(words):
        bits = KEY_BITS.get(found.group(1))
        return KeyKind(found.group(1), bits[0]) if bits else None
    if found := _BITS.search(words):
        enough = [bits for bits in KEY_BITS[sent.type] if bits >= int(found.group(1))]
        return KeyKind(sent.type, enough[0]) if enough else None
    return None
