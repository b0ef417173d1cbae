"""The payload of an answer: all that the module needs to give the answer again. Pure.

``docs/decision-cache-protocol.md`` has its grammar. It is made of three parts: a head (for how
long, under which epoch), what tokens have in common, and one token's own texts. The module keeps
equal common parts once, so all that is one token's alone is a slot.
"""

import re
from typing import NamedTuple

from sidecar.authz.encoding.repeatable import CommonFields
from sidecar.authz.recorded_inputs import token_inputs
from sidecar.decision_cache.protocol import (
    INSERT,
    MAX_NAME,
    MAX_RECORDS,
    PAYLOAD_VERSION,
    RECORD,
    UNIT,
)
from sidecar.headers.tenant import JWT_ID, ROLES, TENANT_ID, USER_ID
from sidecar.observability.audit.entry import (
    ground_fragment,
    key_state_fragment,
    kid_fragment,
    tenant_fragment,
    token_fragment,
)
from sidecar.tokens.cache import CachedToken, digest_text

_NAME = re.compile(rf"[a-z0-9._-]{{1,{MAX_NAME}}}")
_VISIBLE = re.compile(rb"[\x20-\x7e]*")
_TENANT, _SUBJECT, _TOKEN, _ROLES, _DIGEST, _WHO, _WHICH = (INSERT + b"%x" % n for n in range(7))
"""The slots: tenant, subject, token id and roles as headers have them, and the token's digest;
then the audit line's fields of tenant and token, where those are written otherwise."""
_TENANT_FIELDS = b',"tenant":"%b","subject":"%b"'
_TOKEN_FIELDS = b',"token_id":"%b","token_digest":"%b"'
_TARGET = b',"method":"%bM","host":"%bH","path":"%bP","source":"%bS"' % ((INSERT,) * 4)


class TokenKind(NamedTuple):
    """What of a token decides which common part it has, beside its template."""

    kid: bytes
    has_roles: bool
    written_otherwise: bool
    """Whether the audit line has another spelling of the token's texts (an escape, a mask), or
    more (a warning, inputs), which then has slots of its own."""


class TokenTexts(NamedTuple):
    """One token's part of a payload, encoded."""

    times: bytes
    """From when and until when its answers may be repeated, in Unix milliseconds; each with its
    separator."""
    slots: bytes
    kind: TokenKind
    length: int
    """Of times and slots together."""


def token_texts(cached_token: CachedToken) -> TokenTexts | None:
    """Return one token's part; ``None`` for texts that can't stand in a payload."""
    token = cached_token.token
    claims = token.claims
    named = (claims.tenant_id, claims.subject, claims.token_id, ",".join(claims.roles))
    raw = [text.encode("utf-8", "surrogatepass") for text in named]
    digest = digest_text(cached_token.digest)
    texts = [*raw, digest.encode("ascii")]
    who = tenant_fragment(claims.tenant_id, claims.subject)
    inputs = token_inputs(token)
    which = token_fragment(claims.token_id, digest, cached_token.warnings, inputs)
    plain_who, plain_which = _TENANT_FIELDS % (raw[0], raw[1]), _TOKEN_FIELDS % (raw[2], texts[4])
    written_otherwise = (who, which) != (plain_who, plain_which)
    if written_otherwise:
        texts += [who, which]
    kid = kid_fragment(token.kid)
    if not all(_VISIBLE.fullmatch(each) for each in (*texts, kid)):
        return None
    # A millisecond that has begun counts as over: never longer than the sidecar itself allows.
    times = b"%d%b%d%b" % (
        -int(-cached_token.starts_at * 1000 // 1),
        UNIT,
        int(cached_token.ends_at * 1000),
        UNIT,
    )
    slots = UNIT.join(texts)
    kind = TokenKind(kid, bool(claims.roles), written_otherwise)
    return TokenTexts(times, slots, kind, len(times) + len(slots))


def common_part(
    fields: CommonFields, outcome: str, route: str, key_state: str, kind: TokenKind
) -> bytes | None:
    """Return what tokens of this kind have in common; ``None`` for what the module can't repeat."""
    own_headers = [(TENANT_ID, _TENANT), (USER_ID, _SUBJECT), (JWT_ID, _TOKEN)]
    if kind.has_roles:
        own_headers.append((ROLES, _ROLES))
    named = [
        *((b"h", name, value) for name, value in fields.request_headers),
        *((b"%d" % how, name, value) for how, name, value in fields.response_headers),
        *((b"m", name, value.encode()) for name, value in fields.metadata),
    ]
    hows = {name: how for how, name, _ in fields.response_headers}
    if any(hows[name] != how for how, name, _ in fields.response_headers):
        return None  # two headers of one name that combine differently
    if not all(_NAME.fullmatch(name) and _VISIBLE.fullmatch(value) for _, name, value in named):
        return None
    if not all(map(_NAME.fullmatch, fields.removed)):
        return None
    records = [
        *(UNIT.join((kind, name.encode(), value)) for kind, name, value in named),
        *(UNIT.join((b"h", name.encode(), slot)) for name, slot in own_headers),
        *(UNIT.join((b"d", name.encode())) for name in fields.removed),
        UNIT.join((b"m", b"tenant", _TENANT)),
        UNIT.join((b"l", _audit_template(outcome, route, key_state, kind))),
    ]
    return RECORD.join(records) if len(records) <= MAX_RECORDS else None


def _audit_template(outcome: str, route: str, key_state: str, kind: TokenKind) -> bytes:
    """Return the line that ``entry.encode_allowed_check`` would write, with insertions."""
    who, which = _TENANT_FIELDS % (_TENANT, _SUBJECT), _TOKEN_FIELDS % (_TOKEN, _DIGEST)
    if kind.written_otherwise:
        who, which = _WHO, _WHICH
    return b'{"time":"%bT","decision_id":"%bI"%b%b%b%b%b%b%bR,"latency_us":%bU}' % (
        INSERT,
        INSERT,
        ground_fragment(outcome, route),
        who,
        _TARGET,
        kind.kid,
        which,
        key_state_fragment(key_state),
        INSERT,
        INSERT,
    )


def head_of(secret: bytes, worker: int, epoch: int) -> bytes:
    """Return the beginning of every payload of one epoch."""
    return b"%b%b%b%b%d%b%d%b" % (
        PAYLOAD_VERSION, UNIT, secret, UNIT, worker, UNIT, epoch, UNIT,
    )  # fmt: skip
