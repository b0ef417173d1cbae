"""Whether a module's bundle may be installed (SECURITY-MODEL §6, Module Signing Flow).

This runs after all other steps of a Check, so the token is valid. The rules in order:

1. the whole bundle is here, and within its size;
2. no header makes the registry read other bytes than these: no content encoding, no range, no
   form;
3. its digest is not withdrawn;
4. it is signed by a registered publisher; or it is unsigned, the route takes that, and the
   token is a Platform Owner's.

Pure, but slow, because of the digest of megabytes. The service runs it in a thread.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.signature import HEADER_NAME, find_publisher

ModuleMode = Literal["signed", "unsigned_by_owner"]
_PARTIAL = "x-envoy-auth-partial-body"
_ENCODINGS = ("content-encoding", "content-transfer-encoding", "content-range")
_CONTENT_TYPE = "content-type"
CHANGE_READING = (*_ENCODINGS, _CONTENT_TYPE)
"""Headers that make a reader decode a body to other bytes (RFC 9110 §8.3, §8.4, §14.4)."""
_AS_IT_IS = frozenset({b"", b"identity"})
_UTF_8 = re.compile(rb"[ \t]*charset=(?:utf-8|\"utf-8\")[ \t]*", re.IGNORECASE)
CONTENT_TYPES = ("application/javascript", "application/octet-stream", "text/javascript")
"""Content types that no framework decodes; the default of ``modules.content_types``."""


class ModulePolicy(NamedTuple):
    """The rules for bundles on every route that accepts them."""

    max_bundle_bytes: int
    owner_roles: frozenset[str] = frozenset()
    """The roles of a Platform Owner, any of which may install an unsigned bundle."""
    content_types: frozenset[str] = frozenset(CONTENT_TYPES)
    """The allowed content types; a bundle without ``Content-Type`` is allowed too."""


class Provenance(NamedTuple):
    """The verified origin of a bundle, for the application."""

    sha256: str
    publisher: str | None
    """The publisher whose signature was verified; ``None`` for an unsigned bundle."""

    def __str__(self) -> str:
        """Return the text for the audit log."""
        return f"bundle sha256:{self.sha256} {self.publisher or 'unsigned'}"


def check_bundle(
    body: bytes,
    headers: Mapping[str, bytes],
    roles: Iterable[str],
    *,
    mode: ModuleMode,
    policy: ModulePolicy,
    publishers: Publishers,
) -> Provenance:
    """Verify one bundle. Raises ``Denied`` for the first rule that it breaks."""
    if not body or headers.get(_PARTIAL) == b"true":
        hint = "the bundle did not come, or not whole: see with_request_body in docs/modules.md"
        raise Denied(Reason.MODULE_MISSING, hint)
    if len(body) > policy.max_bundle_bytes:
        limit = policy.max_bundle_bytes
        raise Denied(Reason.MODULE_TOO_LARGE, f"{len(body)} bytes, the limit is {limit}")
    _check_reading(headers, policy.content_types)
    digest = hashlib.sha256(body)
    sha256 = digest.hexdigest()
    if sha256 in publishers.withdrawn:
        raise Denied(Reason.MODULE_WITHDRAWN, f"sha256:{sha256} is withdrawn")
    signature = headers.get(HEADER_NAME)
    if signature is not None:
        try:
            return Provenance(sha256, find_publisher(signature, digest.digest(), publishers))
        except Denied as denied:
            raise Denied(denied.reason, f"{denied.detail}; sha256:{sha256}") from None
    if mode != "unsigned_by_owner":
        raise Denied(Reason.MODULE_UNSIGNED, f"no {HEADER_NAME} came, and the route asks for one")
    if policy.owner_roles.isdisjoint(roles):
        raise Denied(Reason.MODULE_UNSIGNED, "only a Platform Owner may install unsigned modules")
    return Provenance(sha256, None)


def unseen(headers: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the headers that change how a body is read and did not come with the Check.

    They are removed from the request: a header that Envoy did not send was not verified.
    """
    return tuple(name for name in CHANGE_READING if name not in headers)


def _check_reading(headers: Mapping[str, bytes], content_types: frozenset[str]) -> None:
    """Refuse headers that would make a registry read other bytes than the signed ones."""
    for name in _ENCODINGS:
        if headers.get(name, b"").strip(b" \t").lower() not in _AS_IT_IS:
            raise Denied(Reason.MODULE_ENCODED, f"{name} came: send the bytes that were signed")
    kind, _, parameter = headers.get(_CONTENT_TYPE, b"").partition(b";")
    known = kind.strip(b" \t").lower().decode("latin-1")
    if (known and known not in content_types) or (
        parameter and not (known and _UTF_8.fullmatch(parameter))
    ):
        hint = f"content-type must be one of {', '.join(sorted(content_types))}, in UTF-8"
        raise Denied(Reason.MODULE_ENCODED, f"{hint}: see modules.content_types")
