"""A sample of an issuer's access tokens: read strictly, never repeated. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sidecar.cli.idp_proposal import EntrySetting, quoted, time_of
from sidecar.common.errors import Denied, Fault
from sidecar.tokens.kinds import tells_a_kind
from sidecar.tokens.strict import decode_base64url, decode_json_object

_SEGMENTS = 3
_ENCRYPTED_SEGMENTS = 5
_USES: Mapping[str, str] = {
    "iss": "must be the issuer",
    "aud": "must name one of audiences",
    "exp": "the end; with iat the lifetime",
    "iat": "the beginning of the lifetime",
    "nbf": "not valid before",
    "jti": "the token's id, for revocations and the audit log",
    "sub": "the user",
    "tenantId": "the tenant",
    "roles": "roles",
    "scope": "scopes",
    "cnf": "binds the token to a key of its client",
}


class Sample(NamedTuple):
    """A token, and its two parts that can be read."""

    token: bytes
    header: dict[str, Any]
    payload: dict[str, Any]

    def judged_at(self, now: float) -> float:
        """Return the time as of which it can be judged: now, or its beginning if it is over."""
        expires_at = time_of(self.payload.get("exp"))
        issued_at = time_of(self.payload.get("iat"))
        if expires_at is None or issued_at is None:
            return now
        begins = max(issued_at, time_of(self.payload.get("nbf")) or 0.0)
        return now if begins <= now < expires_at else begins


class Explained(NamedTuple):
    """A claim or a member of the header, its type, and what is made of it."""

    name: str
    type: str
    use: str


def read_sample(text: str) -> Sample:
    """Read a token in compact serialisation.

    Raises ``Fault``, which says what was read instead and repeats nothing of it.
    """
    stripped = text.strip()
    scheme, _, rest = stripped.partition(" ")
    if scheme.lower() == "bearer":
        stripped = rest.strip()
    if not stripped:
        raise Fault("there is no token: what was read is empty")
    if stripped.startswith("{"):
        raise Fault("the token is JSON: take what stands in access_token, without the quotes")
    segments = stripped.encode().split(b".")
    if len(segments) == _ENCRYPTED_SEGMENTS:
        raise Fault("the token is encrypted (JWE): have the issuer send signed ones (JWS)")
    if len(segments) != _SEGMENTS:
        raise Fault(
            f"the token has {len(segments)} part(s), a JWT has 3: an opaque token can't be "
            "verified here; have the issuer send JWTs as access tokens"
        )
    try:
        header = decode_json_object(decode_base64url(segments[0], "the header"), "the header")
        payload = decode_json_object(decode_base64url(segments[1], "the payload"), "the payload")
    except Denied as denied:
        raise Fault(f"the token can't be read: {denied.detail}") from None
    return Sample(stripped.encode(), header, payload)


def explain(sample: Sample, settings: tuple[EntrySetting, ...]) -> Iterator[Explained]:
    """Yield what is made of the header and of every claim, those below others that are used too."""
    names = {each.name for each in settings}
    for name, value in sample.header.items():
        use = {"alg": "must be one of algorithms", "typ": "must be one of types",
               "kid": "names the key"}.get(name, "not looked at: tolerate_headers")  # fmt: skip
        yield Explained(f"header {name}", _type(value), use)
    used = {path: use for each in settings for path, use in each.use.items()}
    for name, value in sample.payload.items():
        path = quoted((name,))
        below = {p: u for p, u in used.items() if p.startswith(f"{path}.")}
        default = _USES.get(name, "names the kind: an access token" if tells_a_kind([name]) else "")
        replaced = {"tenantId": "claims.tenant", "jti": "claims.jti", "roles": "claims.roles",
                    "scope": "claims.scopes"}.get(name)  # fmt: skip
        if replaced in names:
            default = ""
        yield Explained(path, _type(value), used.get(path) or default or "not read")
        for each, use in below.items():
            yield Explained(each, "", use)


def _type(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int() | float():
            return "number"
        case list():
            return f"list of {len(value)}"
        case dict():
            return f"object of {len(value)}"
    return "null"
