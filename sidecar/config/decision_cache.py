"""The settings of the decision cache inside Envoy: who gets leases, and on what terms."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import Settings, UnixId, text


class DecisionCacheSettings(Settings, frozen=True):
    """A lease lets Envoy repeat an answer without asking; who may have one is told by the kernel.

    The peer's user or one of its groups must be among these; if none are given, the peer's user
    must be the sidecar's own. Each worker thread of each Envoy holds a lease, with a ring of
    ``ring_bytes`` (a power of two). ``stale_milliseconds`` is how long after the last beat of the
    sidecar an answer may still be repeated.
    """

    socket: Annotated[
        str, text(r"^/[^\x00]+$", "the absolute path of a Unix socket, of at most 107 bytes", 107)
    ]
    mode: Literal["0600", "0660", "0666"] = "0660"
    peer_uids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()
    peer_gids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()
    stale_milliseconds: Annotated[int, Meta(ge=150, le=5000)] = 500
    ring_bytes: Annotated[int, Meta(ge=65_536, le=16_777_216)] = 2_097_152
    max_leases: Annotated[int, Meta(ge=1, le=1024)] = 64
