"""What an issuer's entry in ``tokens.issuers`` must say for its tokens, read from one. Pure.

What a token shows is written down; what it can't show (which tenant of ours a word means, whether
a long lifetime is meant) gets the most careful value there is, and a question for a person. Names
of claims are those that issuers are known to use; no value decides what a claim is for.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sidecar.tokens.algorithms import ALGORITHMS, ES256
from sidecar.tokens.claims import LATEST_TIME
from sidecar.tokens.pii import find_pii

NOBODY = "00000000-0000-0000-0000-000000000000"
"""A tenant id that is nobody's: it stands where a person must write one."""
_SOME_AUDIENCE = "https://api.example"
DEFAULT_LIFETIME_SECONDS = 900
_MINUTE = 60
DEFAULT_HEADERS = frozenset({"alg", "typ", "kid"})
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_WRITABLE = re.compile(r'[^"\\\x00-\x1f\x7f]{1,256}')
"""A name that a path of the settings may hold, in quotes."""
_TENANT_LIKE = re.compile(r"tenant|org(?:$|[^a-z]|anization)|workspace|customer", re.IGNORECASE)
_ROLE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
"""Visible ASCII without a comma."""
_PREFIX = re.compile(r"[A-Za-z0-9]+[-_:/.]")
Path = tuple[str, ...]
TENANT_PATHS: tuple[tuple[Path, str], ...] = (
    (("tid",), "string"),
    (("organization", "*", "id"), "string"),
    (("organization",), "keys"),
    (("organization",), "list"),
    (("org_id",), "string"),
    (("org",), "string"),
    (("tenant_id",), "string"),
    (("tenant",), "string"),
    (("firebase", "tenant"), "string"),
    (("custom:tenant",), "string"),
    (("urn:zitadel:iam:user:resourceowner:id",), "string"),
    (("ext", "tenant"), "string"),
    (("kubernetes.io", "namespace"), "string"),
    (("repository_owner_id",), "string"),
    (("env",), "string"),
)
ROLE_PATHS: tuple[Path, ...] = (
    ("realm_access", "roles"),
    ("roles",),
    ("cognito:groups",),
    ("urn:zitadel:iam:org:project:roles",),
    ("p1.permissions",),
    ("permissions",),
    ("groups",),
)
_ROLE_NAMES = frozenset({"roles", "permissions", "groups"})
CLIENT_PATHS = ("client_id", "azp", "appid", "cid")
TOKEN_ID_PATHS = ("jti", "uti")
TIMES_AND_NAMES = ("sub", "iat", "nbf")


class EntrySetting(NamedTuple):
    """One setting of the entry, ``a`` or ``claims.a``, and what a person must decide about it."""

    name: str
    value: Any
    choose: str = ""
    use: Mapping[str, str] = {}
    """What it makes of claims, by their paths."""


class Proposal(NamedTuple):
    """The entry: what it begins with, and every setting that differs from the default."""

    issuer: str
    audiences: EntrySetting
    settings: tuple[EntrySetting, ...]


def propose(header: Mapping[str, Any], payload: Mapping[str, Any], issuer: str) -> Proposal:
    """Return the entry for the issuer of a token with this header and payload."""
    settings = (
        *_of_header(header),
        *_audience_claim(payload),
        *_lifetime(payload),
        *_required(payload),
        *_tenant(payload),
        *_names(payload),
        *_pii(payload),
    )
    return Proposal(issuer, _audiences(payload), settings)


def propose_by_keys(issuer: str, algorithms: Sequence[str]) -> Proposal:
    """Return the entry as far as it can be known from the keys alone."""
    names = [each for each in dict.fromkeys(algorithms) if each in ALGORITHMS]
    signs = EntrySetting(
        "algorithms", names, "keep the one that access tokens are signed with: see a token's alg"
    )
    audiences = EntrySetting(
        "audiences", [_SOME_AUDIENCE], "write what aud names in its tokens; better, give --token"
    )
    return Proposal(issuer, audiences, (signs,) if names and names != [ES256.name] else ())


def quoted(path: Sequence[str]) -> str:
    """Write a path as the settings have it: a name that is not plain stands in double quotes."""
    return ".".join(each if each == "*" or _NAME.fullmatch(each) else f'"{each}"' for each in path)


def look(payload: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Return what stands at a path, ``None`` where there is nothing or ``*`` is not one member."""
    value: Any = payload
    for name in path:
        if not isinstance(value, Mapping):
            return None
        if name == "*":
            value = next(iter(value.values())) if len(value) == 1 else None
        else:
            value = value.get(name)
    return value


def time_of(value: Any) -> float | None:
    """Return a NumericDate that the verifier could take (Unix seconds), or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LATEST_TIME else None


def _of_header(header: Mapping[str, Any]) -> Iterator[EntrySetting]:
    alg = header.get("alg")
    if isinstance(alg, str) and alg != ES256.name:
        yield EntrySetting("algorithms", [alg])
    typ = header.get("typ")
    lowered = typ.lower().removeprefix("application/") if isinstance(typ, str) else None
    if lowered == "at+jwt":
        yield EntrySetting("types", ["at+jwt"])
    elif lowered == "jwt":
        yield EntrySetting("types", ["JWT"])
    elif typ is None:
        yield EntrySetting(
            "types",
            ["absent"],
            "an ID token of this issuer has no typ either: let no client id be an audience",
        )
    extra = sorted(header.keys() - DEFAULT_HEADERS)
    if extra:
        yield EntrySetting("tolerate_headers", extra)


def _audiences(payload: Mapping[str, Any]) -> EntrySetting:
    aud = payload.get("aud")
    listed = [aud] if isinstance(aud, str) else aud if isinstance(aud, list) else []
    named = [each for each in listed if isinstance(each, str) and each]
    if not named:
        named = [str(payload[each]) for each in ("client_id", "azp") if each in payload][:1]
    many = "keep those that mean this platform, and no other" if len(named) > 1 else ""
    use = {"aud": "must name one of audiences"}
    return EntrySetting("audiences", named or [_SOME_AUDIENCE], many, use)


def _audience_claim(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    if payload.get("aud") is not None:
        return
    for name in ("client_id", "azp"):
        if isinstance(payload.get(name), str):
            yield EntrySetting(
                "audience_claim",
                name,
                "better have the issuer send aud; without it the client's name stands for it",
                {name: "stands for the audience: must be one of audiences"},
            )
            return


def _lifetime(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    issued_at, expires_at = time_of(payload.get("iat")), time_of(payload.get("exp"))
    if issued_at is None or expires_at is None:
        return
    minutes = math.ceil((expires_at - issued_at) / _MINUTE)
    seconds = minutes * _MINUTE  # an issuer's lifetimes differ by seconds
    if seconds > DEFAULT_LIFETIME_SECONDS:
        yield EntrySetting(
            "max_lifetime_seconds",
            seconds,
            f"better shorten it at the issuer, to {DEFAULT_LIFETIME_SECONDS}: a stolen token lives "
            "as long",
        )


def _required(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    """Yield which claims must be there, where a default one is not, and where they are."""
    token_id = next((each for each in TOKEN_ID_PATHS if _is_text(payload.get(each))), None)
    if token_id not in (None, "jti"):
        yield EntrySetting("claims.jti", token_id, use={str(token_id): "the token's id"})
    client = next((each for each in CLIENT_PATHS if _is_text(payload.get(each))), None)
    if client is not None:
        yield EntrySetting("claims.client", client, use={client: "the client"})
    present = [each for each in TIMES_AND_NAMES if payload.get(each) is not None]
    if token_id is None or len(present) < len(TIMES_AND_NAMES):
        required = [*present, *(["jti"] if token_id else [])]
        absent = [each for each in TIMES_AND_NAMES if each not in present]
        why = []
        if token_id is None:
            why.append("without jti a token is revoked by the digest that the audit log has")
        if "sub" in absent:
            why.append("a token without sub is its client's")
        yield EntrySetting("require", required, "; ".join(why))


def _tenant(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    if _is_text(payload.get("tenantId")):
        return
    found = list(_tenant_places(payload))
    if not found:
        yield EntrySetting(
            "claims.tenant",
            {"fixed": NOBODY},
            "no claim looks like a tenant: write the one tenant that this issuer serves, or have "
            "the issuer send one and write its path",
        )
        return
    path, kind, word = found[0]
    place: dict[str, Any] = {"path": quoted(path)}
    if kind != "string":
        place["type"] = kind
    others = ", ".join(quoted(each[0]) for each in found[1:4])
    yield EntrySetting(
        "claims.tenant",
        {**place, "tenants": {word: NOBODY}},
        "write your tenant id for each of the issuer's words"
        + (f"; it may also be at {others}" if others else ""),
        {quoted(path): "the tenant"},
    )


def _tenant_places(payload: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Yield the places where a tenant may be: path, type and the word that is there."""
    known: set[Path] = set()
    for path, kind in TENANT_PATHS:
        word = _only_word(look(payload, path), kind)
        if word is not None and path[:1] not in known:
            known.add(path[:1])
            yield path, kind, word
    for name, value in payload.items():
        if (name,) not in known and _TENANT_LIKE.search(name) and _WRITABLE.fullmatch(name):
            for kind in ("string", "list", "keys"):
                word = _only_word(value, kind)
                if word is not None:
                    yield (name,), kind, word


def _only_word(value: Any, kind: str) -> str | None:
    if kind == "string":
        return value if _is_text(value) else None
    if kind == "list" and not isinstance(value, list):
        return None
    if kind == "keys" and not isinstance(value, Mapping):
        return None
    words = list(value)
    return words[0] if len(words) == 1 and _is_text(words[0]) else None


def _names(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    """Yield where roles and scopes are, if not where the default looks."""
    places = [(path, value) for path in _role_paths(payload) if (value := look(payload, path))]
    kinds = [(path, kind) for path, value in places if (kind := _kind_of_names(value))]
    if kinds and kinds != [(("roles",), "list")]:
        yield _roles(payload, kinds)
    for name in ("scope", "scp"):
        kind = _kind_of_names(payload.get(name), words="spaces")
        if kind is not None:
            if (name, kind) != ("scope", "spaces"):
                yield EntrySetting("claims.scopes", [_place((name,), kind)], use={name: "scopes"})
            return


def _roles(payload: Mapping[str, Any], kinds: Sequence[tuple[Path, str]]) -> EntrySetting:
    """Return the first place of roles; the other ones are named."""
    path, kind = kinds[0]
    place, choose = _place(path, kind), []
    if kinds[1:]:
        choose.append("roles could also be at " + ", ".join(quoted(each) for each, _ in kinds[1:]))
    value = look(payload, path)
    names = [value] if isinstance(value, str) else list(value)
    if not all(map(_ROLE.fullmatch, names)):
        usable = next(filter(_ROLE.fullmatch, names), "role-")
        begins = _PREFIX.match(usable)
        place["prefix"] = usable if begins is None else begins.group()
        choose.append("a role has no space or comma: only names that begin with prefix count")
    return EntrySetting("claims.roles", [place], "; ".join(choose), {quoted(path): "roles"})


def _role_paths(payload: Mapping[str, Any]) -> Iterator[Path]:
    yield from ROLE_PATHS
    for name in payload:
        last = name.rpartition("/")[2]
        if "/" in name and last in _ROLE_NAMES and _WRITABLE.fullmatch(name):
            yield (name,)


def _place(path: Path, kind: str) -> dict[str, Any]:
    place: dict[str, Any] = {"path": quoted(path)}
    if kind != "list":
        place["type"] = kind
    return {**place, "optional": True}


def _kind_of_names(value: Any, words: str = "string") -> str | None:
    if isinstance(value, list) and all(_is_text(each) for each in value):
        return "list"
    if isinstance(value, Mapping):
        return "keys"
    return words if _is_text(value) else None


def _pii(payload: Mapping[str, Any]) -> Iterator[EntrySetting]:
    named = [each.claim for each in find_pii(payload) if each.by == "name"]
    if named:
        yield EntrySetting(
            "pii",
            {"allowed": [quoted(each.split(".")) for each in named]},
            "better have the issuer leave them out: everyone who holds a token can read it",
            {quoted(each.split(".")): "personal data, by its name" for each in named},
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
