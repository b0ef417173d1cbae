"""The settings of where an issuer's tokens say what the platform must know (``tokens.issuers[]``).

A path names a claim by its members, from the payload down: ``realm_access.roles``. A member whose
name holds anything but letters, digits, ``_`` and ``-`` stands in double quotes:
``"cognito:groups"``. ``*`` is the only member there is, whatever its name. The reader of paths is
``sidecar.tokens.claim_path``.
"""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import Settings, Uuid, VaultPath, text

_NAME = r"[A-Za-z0-9_-]+"
_QUOTED = r'"[^"\\\x00-\x1f\x7f]+"'
MAX_PATH_SEGMENTS = 8
MAX_PLACES = 8
MAX_TENANT_WORDS = 10_000
ClaimPath = Annotated[
    str,
    text(
        rf"^(?:{_NAME}|{_QUOTED})(?:\.(?:{_NAME}|{_QUOTED}|\*)){{0,{MAX_PATH_SEGMENTS - 1}}}$",
        f"the path of a claim, at most {MAX_PATH_SEGMENTS} names with dots between them. Other "
        'characters than letters, digits, _ and - need quotes, like "cognito:groups"; * is the '
        "only member, and not first",
        512,
    ),
]
ClaimWord = Annotated[str, Meta(min_length=1, max_length=512)]
"""A value of a claim, or the beginning of one."""


class TenantTableEntry(Settings, frozen=True):
    """An entry of Vault KV v2 with the tenants of an issuer, read again every ``poll_seconds``.

    Each field is a word of the issuer, its value our tenant id. Without ``poll_seconds`` it is
    read as often as keys are.
    """

    path: VaultPath
    mount: VaultPath = "secret"
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] | None = None


class TenantClaim(Settings, frozen=True):
    """Where the tenant of a token is, and which tenant is meant.

    The claim's text is looked up in ``tenants``, or in the table that ``tenants_from`` is about.
    Without a table it must be a tenant id itself, which ``any`` permits where there are several
    issuers. ``fixed`` is the tenant of all tokens of an issuer, and reads no claim.
    """

    path: ClaimPath = "tenantId"
    type: Literal["string", "list", "keys"] = "string"
    tenants: (
        Annotated[dict[ClaimWord, Uuid], Meta(min_length=1, max_length=MAX_TENANT_WORDS)] | None
    ) = None
    tenants_from: TenantTableEntry | None = None
    any: bool = False
    fixed: Uuid | None = None


class NamesClaim(Settings, frozen=True):
    """Where roles or scopes are: an array, an object's keys, names with spaces, or one name.

    With ``prefix`` only names that begin with it count; ``strip_prefix`` takes it away.
    ``optional`` permits the claim to be absent.
    """

    path: ClaimPath
    type: Literal["list", "keys", "spaces", "string"] = "list"
    prefix: ClaimWord | None = None
    strip_prefix: bool = False
    optional: bool = False


NamesPlaces = Annotated[tuple[NamesClaim, ...], Meta(max_length=MAX_PLACES)]


class ClaimsSettings(Settings, frozen=True):
    """Where an issuer's tokens name the tenant, the user, roles, scopes, client and token id."""

    tenant: TenantClaim = TenantClaim(any=True)
    user: ClaimPath = "sub"
    jti: ClaimPath = "jti"
    client: ClaimPath | None = None
    roles: NamesPlaces = (NamesClaim(path="roles", optional=True),)
    scopes: NamesPlaces = (NamesClaim(path="scope", type="spaces", optional=True),)
