"""The base class of all sections of the configuration, and the types of text values."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


def text(pattern: str, description: str, max_length: int) -> Any:
    """Return the ``Meta`` of a text with a form of its own.

    ``description`` says in words what ``pattern`` says, to follow "must be": it is what a
    message tells a person, and what the JSON Schema shows.
    """
    return Meta(pattern=pattern, description=description, max_length=max_length)


_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Label = Annotated[
    str,
    text(
        r"^[a-z0-9][a-z0-9_-]{0,62}$",
        "a name of lower-case letters, digits, - and _, that begins with a letter or a digit",
        63,
    ),
]
Address = Annotated[
    str,
    text(
        r"^(unix:/.+|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}|[A-Za-z0-9.-]+:[0-9]{1,5})$",
        "host:port, [IPv6]:port or unix:/path",
        512,
    ),
]
FilePath = Annotated[str, text(r"^[^\x00]+$", "the path of a file", 4096)]
VaultPath = Annotated[
    str,
    text(
        r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$",
        "a path in Vault: segments of letters, digits, _, . and -, with / between them only",
        512,
    ),
]
VaultName = Annotated[
    str,
    text(r"^[A-Za-z0-9_.-]+$", "a name in Vault: letters, digits, _, . and -, without a /", 128),
]
Uuid = Annotated[
    str,
    text(
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "a UUID in lower case, like 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11",
        36,
    ),
]
HostPattern = Annotated[
    str,
    text(
        rf"^(\*|(\*\.)?{_NAME})$",
        "a host name in lower case without a port, *.suffix, or * alone",
        255,
    ),
]
DomainName = Annotated[
    str, text(rf"^{_NAME}$", "a domain name in lower case, without a port and without *", 253)
]
_SEGMENT = r"(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[89A-F][0-9A-F])+"
CanonicalPath = Annotated[
    str,
    text(
        rf"^/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?$",
        "a path that begins with /, without empty segments, dot segments, ; and a query",
        2048,
    ),
]
RoutePath = Annotated[str, text(r"^/", "a path that begins with /", 2048)]
"""A path in any spelling that has a canonical form; ``rules_routes`` refuses the others."""
MediaType = Annotated[
    str,
    text(
        r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$",
        "a media type in lower case without parameters, like application/javascript",
        127,
    ),
]
Method = Annotated[str, text(r"^[A-Z]{1,16}$", "a method in capitals, like GET", 16)]
TokenPlace = Annotated[
    str,
    text(
        r"^(header|websocket|cookie:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})$",
        "header, websocket or cookie:<name>",
        71,
    ),
]
_ID_SEGMENT = r"/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
ClientName = Annotated[
    str,
    text(
        rf"^(spiffe://[a-z0-9._-]{{1,255}}((?:{_ID_SEGMENT})+(/\*)?|/\*)"
        r"|[a-z0-9][a-z0-9.-]{0,252}|[0-9a-f]{0,4}:[0-9a-f:.]{1,43})$",
        "spiffe://domain/path, spiffe://domain/path/*, a DNS name in lower case or an IP address",
        2048,
    ),
]
"""A DNS name, an IP address, a workload's SPIFFE ID, or all IDs below a slash; who a certificate
identifies is read by ``workload.x509.identities``."""
SpiffeId = Annotated[
    str,
    text(
        rf"^spiffe://[a-z0-9._-]{{1,255}}(?:{_ID_SEGMENT})+$",
        "a SPIFFE ID, spiffe://domain/path",
        2048,
    ),
]
"""A workload's identity: a trust domain and a path (SPIFFE-ID §2)."""
UnixId = Annotated[int, Meta(ge=0, le=4_294_967_294)]
HttpUrl = Annotated[str, text(r"^https?://[^\s]+$", "an http:// or https:// URL", 2048)]
SecretUrl = Annotated[HttpUrl, Meta(extra={"secret": True})]
"""A URL that may be a secret itself: a webhook's path often is. It is never shown whole."""
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
