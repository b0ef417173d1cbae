"""The settings of DPoP proofs (RFC 9449); which routes take them is in ``routes[].binding``."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.algorithms import AlgorithmName
from sidecar.config.base import Settings

Port = Annotated[int, Meta(ge=1, le=65_535)]


class DpopSettings(Settings, frozen=True):
    """What proofs are accepted, and how many are remembered.

    A proof holds for ``max_age_seconds`` after its ``iat``, with ``leeway_seconds`` on both
    sides. With ``nonce: required`` it must hold a nonce of ours, which changes every
    ``nonce_seconds``. ``ports`` are those of the URLs by which clients reach Envoy.
    """

    algorithms: Annotated[tuple[AlgorithmName, ...], Meta(min_length=1, max_length=11)] = ("ES256",)
    max_age_seconds: Annotated[float, Meta(ge=1, le=600)] = 60.0
    leeway_seconds: Annotated[float, Meta(ge=0, le=60)] = 5.0
    nonce: Literal["off", "required"] = "off"
    nonce_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 300
    ports: Annotated[tuple[Port, ...], Meta(min_length=1, max_length=16)] = (443,)
    replay_entries: Annotated[int, Meta(ge=64, le=16_777_216)] = 65_536
