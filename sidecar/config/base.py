"""The base class of all sections of the configuration, and the types of text values."""

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Address = Annotated[
    str, Meta(pattern=r"^(unix:/.+|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}|[A-Za-z0-9.-]+:[0-9]{1,5})$")
]
FilePath = Annotated[str, Meta(pattern=r"^[^\x00]{1,4096}$")]
VaultPath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=512)]
Uuid = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
HostPattern = Annotated[
    str,
    Meta(pattern=r"^(\*|(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)$"),
]
DomainName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", max_length=253
    ),
]
_SEGMENT = r"(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[89A-F][0-9A-F])+"
CanonicalPath = Annotated[
    str, Meta(pattern=rf"^/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?$", max_length=2048)
]
RoutePath = Annotated[str, Meta(pattern=r"^/", max_length=2048)]
"""A path in any spelling that has a canonical form; ``rules_routes`` refuses the others."""
MediaType = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$", max_length=127)
]
Method = Annotated[str, Meta(pattern=r"^[A-Z]{1,16}$")]
TokenPlace = Annotated[
    str, Meta(pattern=r"^(header|websocket|cookie:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})$")
]
_ID_SEGMENT = r"/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
ClientName = Annotated[
    str,
    Meta(
        pattern=rf"^(spiffe://[a-z0-9._-]{{1,255}}((?:{_ID_SEGMENT})+(/\*)?|/\*)|[a-z0-9][a-z0-9.-]{{0,252}})$",
        max_length=2048,
    ),
]
"""A DNS name, a workload's SPIFFE ID, or all IDs below a slash (``workload.x509.identities``)."""
SpiffeId = Annotated[
    str,
    Meta(
        pattern=rf"^spiffe://[a-z0-9._-]{{1,255}}(?:{_ID_SEGMENT})+$",
        max_length=2048,
    ),
]
"""A workload's identity: a trust domain and a path (SPIFFE-ID §2)."""
UnixId = Annotated[int, Meta(ge=0, le=4_294_967_294)]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2048)]
CallSeconds = Annotated[float, Meta(gt=0, le=60)]
"""The time-out of one call to another server."""
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base class of every section: immutable, and an unknown key is an error."""


class RotatedFile(Settings, frozen=True):
    """A file to which lines are appended.

    Above ``max_bytes`` it is renamed to ``<path>.1`` and so on, ``keep`` of them. With 0 it is
    not rotated; rotate it with another tool and send SIGHUP.
    """

    path: FilePath
    max_bytes: Annotated[int, Meta(ge=0, le=1_099_511_627_776)] = 0
    keep: Annotated[int, Meta(ge=1, le=1000)] = 5
