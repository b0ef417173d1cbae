"""Answers that Envoy may repeat: an allowed answer, and its payload while a lease is held.

``authz.ports.RepeatableAnswers`` is implemented here. What a token and what a route have in a
payload is encoded once, with the cached token and with the template; an answer joins the parts.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.authz.encoding.repeatable import CommonFields, metadata_field, read_common
from sidecar.authz.response_cache import EncodedFields, Template
from sidecar.decision_cache.credits import CreditSlots
from sidecar.decision_cache.payload import (
    TokenTexts,
    common_part,
    head_of,
    payload_of,
    token_texts,
)
from sidecar.decision_cache.protocol import PAYLOAD_KEY
from sidecar.tokens.cache import CachedToken

_KEY = PAYLOAD_KEY.encode("ascii")
MAX_COMMON = 4096
"""The most common parts that are kept; then all are made anew."""


class RepeatableFields(NamedTuple):
    """A token's fields of an answer (``EncodedFields``), and its part of a payload."""

    headers: bytes
    metadata: bytes
    texts: TokenTexts
    tenant_id: str


class _CommonKey(NamedTuple):
    """All that a common part is made of."""

    ok: bytes
    metadata: bytes
    outcome: str
    route: str
    kid: bytes
    has_roles: bool
    written_otherwise: bool


CommonParts = dict[tuple[bytes, bool, bool], bytes | None]
"""Common parts of one template by kid, and by how its tokens are written: at most 4 for a key."""


class LeasedAnswers:
    """Makes templates whose answers carry a payload, while ``held`` is true.

    ``scopes`` are the numbers of the routes that are repeated, by name. ``begin_epoch`` is called
    with the epoch under which is decided from now on.
    """

    def __init__(
        self, secret: bytes, worker: int, scopes: Mapping[str, int], credit_slots: CreditSlots
    ) -> None:
        self.held = False
        """Whether any Envoy holds a lease; without one no payload is sent."""
        self._secret = secret
        self._worker = worker
        self._scopes = scopes
        self.credit_slots = credit_slots
        self._head = b""
        self._fields: dict[tuple[bytes, bytes], CommonFields] = {}
        self._common: dict[_CommonKey, bytes | None] = {}
        self.sent = 0

    def begin_epoch(self, epoch: int) -> None:
        """Decide under this epoch from now on."""
        self._head = head_of(self._secret, self._worker, epoch)
        self._fields.clear()
        self._common.clear()

    def use_scopes(self, scopes: Mapping[str, int]) -> None:
        """Use other numbers of routes with the next epoch, in which templates are made again."""
        self._scopes = scopes

    def own_fields(self, own: EncodedFields, cached_token: CachedToken) -> EncodedFields:
        """Add the token's part of a payload; the same fields for one that has none."""
        texts = token_texts(cached_token)
        if texts is None:
            return own
        return RepeatableFields(own[0], own[1], texts, cached_token.token.claims.tenant_id)

    def template(self, template: Template) -> Template:
        """Return the template to be used: one that adds payloads if its route is repeated."""
        scope = self._scopes.get(template.route)
        return template if scope is None else RepeatableTemplate(template, scope, self)

    def field_for(
        self, template: Template, scope: int, commons: "CommonParts", own: RepeatableFields
    ) -> bytes:
        """Return the encoded field that holds the payload; empty if there can be none.

        ``commons`` are the template's own: most of its tokens are of one kind.
        """
        texts = own.texts
        kind = (texts.kid, texts.has_roles, texts.written_otherwise)
        try:
            common = commons[kind]
        except KeyError:
            common = commons[kind] = self._common_of(template, texts)
        if common is None:
            return b""
        credit = self.credit_slots.slot_of(own.tenant_id)
        if credit is None:
            return b""
        payload = payload_of(self._head, texts.times, scope, credit, common, texts.slots)
        if not payload:
            return b""
        self.sent += 1
        return metadata_field(_KEY, payload)

    def _common_of(self, template: Template, texts: TokenTexts) -> bytes | None:
        key = _CommonKey(
            template.ok, template.metadata, template.outcome, template.route,
            texts.kid, texts.has_roles, texts.written_otherwise,
        )  # fmt: skip
        try:
            return self._common[key]
        except KeyError:
            if len(self._common) >= MAX_COMMON:
                self._common.clear()
        common = self._common[key] = common_part(
            read_common(template), template.outcome, template.route, template.key_state, texts
        )
        return common


class RepeatableTemplate(Template):
    """A template whose answers carry a payload while a lease is held."""

    __slots__ = ("_answers", "_commons", "_scope")

    def __init__(self, template: Template, scope: int, answers: LeasedAnswers) -> None:
        super().__init__(
            template.opening,
            template.ok,
            template.between,
            template.metadata,
            outcome=template.outcome,
            route=template.route,
            key_state=template.key_state,
        )
        self._scope = scope
        self._answers = answers
        self._commons: CommonParts = {}

    def fill(self, own: EncodedFields) -> bytes:
        """Return the serialised ``CheckResponse``."""
        parts = (self.opening, self.ok, own[0], self.between, self.metadata, own[1])
        # Without super(): each Check that is asked for comes here.
        if self._answers.held and type(own) is RepeatableFields:
            return b"".join(
                (*parts, self._answers.field_for(self, self._scope, self._commons, own))
            )
        return b"".join(parts)
