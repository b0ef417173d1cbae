"""The kind of a token, by its claims: only an access token passes (RFC 8725 §3.12).

An issuer signs tokens of many kinds with one key: ID tokens, refresh tokens, logout tokens,
events. The header's ``typ`` should distinguish them (``verifier``), but is often ``JWT`` for
all. So the claims count too:

- a claim that names the kind must name an access token. Cognito uses ``token_use``, Keycloak
  ``typ``, many ``token_type``, ForgeRock ``tokenName``. ``type`` may be about anything, a user
  for example, so there only the names of other kinds are denied;
- a claim that only another kind has is denied, with any value: the hashes of an ID token
  (OpenID Connect Core §3.1.3.6, §3.3.2.11), the request of a DPoP proof (RFC 9449 §4.2), the
  events of a logout token or another security event (RFC 8417 §2.2), an introspected token
  (RFC 9701 §5). ``nonce`` alone is none of them: some issuers copy it into access tokens.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

_ACCESS = frozenset({"bearer", "access", "accesstoken", "at", "at+jwt", "jwt"})
_REFRESH = frozenset({"refresh", "refreshtoken", "refresh+jwt", "rt", "rt+jwt", "offline"})
_OTHERS = frozenset(
    {
        "id", "idtoken", "id+jwt", "serializedid", "identity", "identitytoken", "logout",
        "logouttoken", "logout+jwt", "backchannellogout", "secevent+jwt", "event", "dpop",
        "dpop+jwt", "clientassertion", "assertion", "userinfo", "introspection",
        "tokenintrospection+jwt", "authorizationcode", "code", "initialaccess",
        "initialaccesstoken", "registrationaccess", "registrationaccesstoken",
    }
)  # fmt: skip
_NAMING = frozenset({"typ", "tokenuse", "tokentype", "tokenname"})
"""Claims that name the kind of a token, and nothing else."""
_PERHAPS = "type"
_MARKS = frozenset(
    {
        "athash", "chash", "shash", "urn:openid:params:jwt:claim:rthash", "htm", "htu",
        "tokenintrospection",
    }
)  # fmt: skip
_EVENTS = "events"
_ALL = _NAMING | _MARKS | {_PERHAPS, _EVENTS}


def tells_a_kind(names: Iterable[str]) -> bool:
    """Return whether any of these claims may name the kind of the token."""
    return any(_folded(name) in _ALL for name in names)


def check_kind(payload: Mapping[str, Any], *, nonce: bool = False) -> None:
    """Deny a token whose claims say that it is not an access token.

    With ``nonce`` that claim says so too.

    Raises ``Denied`` with ``refresh_token_presented`` or ``token_type_not_allowed``.
    """
    if nonce and payload.get("nonce") is not None:
        raise _not_allowed("claim 'nonce' is an ID token's")
    for name in _telling(tuple(payload)):
        if (value := payload[name]) is not None:
            _check_claim(name, _folded(name), value)


def is_refresh(kind: str) -> bool:
    """Return whether a kind, as named in a claim or in the header, is a refresh token."""
    return _folded_kind(kind) in _REFRESH


def _check_claim(name: str, folded: str, value: object) -> None:
    if folded == _EVENTS:
        if isinstance(value, Mapping):
            raise _not_allowed("claim 'events' marks a security event")
        return
    if folded in _MARKS:
        raise _not_allowed(f"claim {name!r} is not a claim of access tokens")
    for kind in value if isinstance(value, list) else (value,):
        named = _folded_kind(kind) if isinstance(kind, str) else ""
        if named in _REFRESH:
            raise Denied(Reason.REFRESH_TOKEN_PRESENTED, f"claim {name!r} names a refresh token")
        if named in _OTHERS if folded == _PERHAPS else named not in _ACCESS:
            raise _not_allowed(f"claim {name!r} does not name an access token")


def _not_allowed(detail: str) -> Denied:
    return Denied(Reason.TOKEN_TYPE_NOT_ALLOWED, detail)


@lru_cache(maxsize=1024)
def _telling(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of these claims may name a kind; an issuer's tokens have the same claims."""
    return tuple(name for name in names if _folded(name) in _ALL)


@lru_cache(maxsize=1024)
def _folded(name: str) -> str:
    """Return a claim's name in one spelling: ``tokenUse`` equals ``token_use``."""
    return name.lower().replace("_", "").replace("-", "")


def _folded_kind(kind: str) -> str:
    return _folded(kind).removeprefix("application/").replace(" ", "")
