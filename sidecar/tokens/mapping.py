"""Where an issuer's tokens name the tenant, the user, the client, the token's id and the grants.

The security model's own tokens need none of this (``sidecar.tokens.claims`` reads them). For
another issuer each value has a path and a type that an operator wrote down. What is absent, of
another type or ambiguous is denied with the path; nothing is guessed, and nothing of the payload
but these values goes further.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claim_path import ClaimPath

MAX_NAMES = 64
"""Roles, or scopes, of one token after the prefix was applied."""
MAX_LISTED_NAMES = 1024
"""Names in one claim before that: a directory lists every group of a user."""
CLIENT_PREFIX = "client:"
"""What begins the user of a token without one: it is its client's."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_MAX_TEXT = 512


class TableSource(NamedTuple):
    """Where an issuer's table of tenants is read from while the sidecar runs: an entry of KV v2."""

    issuer: str
    mount: str
    path: str


class TenantPlace(msgspec.Struct, frozen=True):
    """Where the tenant is, and which of our tenants the issuer's word means.

    ``fixed`` reads no claim. ``table`` maps the issuer's words. Without a table the word must be
    a tenant id; where it has a ``source`` and was not read from there yet, no word means a tenant.
    """

    path: ClaimPath
    type: str = "string"
    table: Mapping[str, str] | None = None
    fixed: str | None = None
    source: TableSource | None = None

    def read(self, payload: Mapping[str, Any]) -> str:
        """Return our tenant id, in lower case.

        Raises ``Denied`` with ``claim_missing``, ``claim_malformed`` or ``tenant_unknown``.
        """
        if self.fixed is not None:
            return self.fixed
        word = self._word(self.path.require(payload))
        if self.table is not None:
            tenant_id = self.table.get(word)
            if tenant_id is None:
                raise Denied(
                    Reason.TENANT_UNKNOWN,
                    f"claim {self.path.text!r} names a tenant that is not in the issuer's table",
                )
            return tenant_id
        if self.source is not None:
            raise Denied(
                Reason.TENANT_UNKNOWN,
                f"claim {self.path.text!r} names a tenant by the table in Vault, "
                f"{self.source.mount}/{self.source.path}, which was not read",
            )
        tenant_id = _tenant_id(word)
        if tenant_id is None:
            raise self.path.malformed("a UUID, or there must be a table of tenants")
        return tenant_id

    def _word(self, value: Any) -> str:
        if self.type != "string":
            wanted = list if self.type == "list" else dict
            if not isinstance(value, wanted):
                raise self.path.malformed(_TYPES[self.type])
            if len(value) != 1:
                raise self.path.malformed(f"of one element to be the tenant, not of {len(value)}")
            (value,) = value
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
            raise self.path.malformed(f"a text of 1 to {_MAX_TEXT} characters")
        return value


_TYPES = {
    "string": "a text",
    "list": "an array of texts",
    "keys": "an object",
    "spaces": "a text of names separated by single spaces",
}


class NamesPlace(msgspec.Struct, frozen=True):
    """Where roles or scopes are, and which of the names there count."""

    path: ClaimPath
    type: str = "list"
    prefix: str = ""
    strip_prefix: bool = False
    optional: bool = False

    def read(self, payload: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names that count; raise ``Denied`` for a claim that is not as written."""
        value = self.path.find(payload)
        if value is None:
            if self.optional:
                return ()
            raise Denied(Reason.CLAIM_MISSING, f"claim {self.path.text!r} is missing")
        names = self._listed(value)
        if self.prefix:
            cut = len(self.prefix) if self.strip_prefix else 0
            names = tuple(name[cut:] for name in names if name.startswith(self.prefix))
        if _are_names(names):
            return names
        raise self.path.malformed(
            f"at most {MAX_NAMES} names in visible ASCII without spaces and commas"
        )

    def _listed(self, value: Any) -> tuple[str, ...]:
        kind = self.type
        if kind == "spaces" and type(value) is str:
            return _split(value)
        if kind == "string" and type(value) is str:
            return (value,)
        named = (kind == "list" and isinstance(value, list)) or (
            kind == "keys" and isinstance(value, dict)
        )
        if not named:
            raise self.path.malformed(_TYPES[kind])
        if len(value) > MAX_LISTED_NAMES:
            raise self.path.malformed(f"of at most {MAX_LISTED_NAMES} names")
        for name in value:
            if type(name) is not str:
                raise self.path.malformed(_TYPES[kind])
        return tuple(value)


@lru_cache(maxsize=16_384)
def _tenant_id(word: str) -> str | None:
    """Return a UUID in lower case; ``None`` for anything else."""
    return word.lower() if _UUID.fullmatch(word) else None


@lru_cache(maxsize=4096)
def _split(value: str) -> tuple[str, ...]:
    """Return the names in a text; few sets of scopes serve many tokens."""
    return tuple(value.split(" ")) if value else ()


@lru_cache(maxsize=4096)
def _are_names(names: tuple[str, ...]) -> bool:
    """Return whether these can be roles or scopes: a comma would make two in the header."""
    return len(names) <= MAX_NAMES and all(
        _VISIBLE.fullmatch(name) and "," not in name for name in names
    )


class ClaimsMapping(msgspec.Struct, frozen=True):
    """Where everything is that the platform knows a token by."""

    tenant: TenantPlace
    user: ClaimPath
    token_id: ClaimPath
    client: ClaimPath | None
    roles: tuple[NamesPlace, ...]
    scopes: tuple[NamesPlace, ...]

    def read_user(self, payload: Mapping[str, Any], *, required: bool) -> str:
        """Return the user; of a token that may have none, its client as ``client:ID``."""
        if required:
            return read_header_text(self.user, payload)
        if self.user.find(payload) is None:
            return CLIENT_PREFIX + self.read_client(payload)
        user = read_header_text(self.user, payload)
        if user.startswith(CLIENT_PREFIX):
            raise self.user.malformed(f"another user than one that begins with {CLIENT_PREFIX}")
        return user

    def read_client(self, payload: Mapping[str, Any]) -> str:
        """Return the client; raise ``Denied`` where it is needed and not there."""
        if self.client is None:
            raise Denied(Reason.CLAIM_MISSING, f"claim {self.user.text!r} is missing")
        return read_header_text(self.client, payload)

    def read_token_id(self, payload: Mapping[str, Any], *, required: bool) -> str:
        """Return the token's id; the empty text for a token that may have none and has none."""
        if not required and self.token_id.find(payload) is None:
            return ""
        return read_header_text(self.token_id, payload)


def read_header_text(path: ClaimPath, payload: Mapping[str, Any]) -> str:
    """Read a claim that becomes a header's value: visible ASCII only."""
    value = path.find(payload)
    if type(value) is str and value and value.isascii() and value.isprintable():
        if " " not in value:
            return value
        raise path.malformed("visible ASCII without spaces")
    if value is None:
        raise Denied(Reason.CLAIM_MISSING, f"claim {path.text!r} is missing")
    raise path.malformed("a non-empty string in visible ASCII")


def read_names(places: tuple[NamesPlace, ...], payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of all places, each once, in their order."""
    if len(places) == 1:
        return places[0].read(payload)
    listed = [name for place in places for name in place.read(payload)]
    names = tuple(dict.fromkeys(listed))
    if len(names) > MAX_NAMES:
        paths = ", ".join(repr(place.path.text) for place in places)
        raise Denied(Reason.CLAIM_MALFORMED, f"claims {paths} hold more than {MAX_NAMES} names")
    return names
