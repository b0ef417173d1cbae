"""Answers that Envoy may repeat: an allowed answer, and its payload while a lease is held.

``authz.ports.RepeatableAnswers`` is implemented here. What a token and what a route have in a
payload is encoded once, with the cached token and with the template; an answer joins the parts.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sidecar.authz.encoding.repeatable import CommonFields, metadata_opening, read_common
from sidecar.authz.response_cache import EncodedFields, Template
from sidecar.decision_cache.credits import CreditSlots
from sidecar.decision_cache.payload import (
    TokenKind,
    TokenTexts,
    common_part,
    head_of,
    token_texts,
)
from sidecar.decision_cache.protocol import GROUP, MAX_PAYLOAD, PAYLOAD_KEY, UNIT
from sidecar.tokens.cache import CachedToken

_KEY = PAYLOAD_KEY.encode("ascii")
MAX_COMMON = 4096
"""The most common parts that are kept; then all are made anew."""
MAX_FRAMES = 256
"""The most frames of one template, likewise."""


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
    kind: TokenKind


class _Frame(NamedTuple):
    """What of a payload stands before and behind a token's times, scope and credit."""

    before: bytes
    """The field's own opening with its lengths, and the payload's head."""
    common: bytes


class LeasedAnswers:
    """Makes templates whose answers carry a payload, while ``held`` is true.

    ``scopes`` are the numbers of the routes that are repeated, by name. ``place`` puts a common
    part where modules read it, and returns what a payload says of it (``CommonArea.place``).
    ``begin_epoch`` is called with the epoch under which is decided from now on.
    """

    def __init__(
        self,
        secret: bytes,
        worker: int,
        scopes: Mapping[str, int],
        credit_slots: CreditSlots,
        place: Callable[[bytes], bytes],
    ) -> None:
        self.held = False
        """Whether any Envoy holds a lease; without one no payload is sent."""
        self.head = b""
        """What every payload of this epoch begins with; of each epoch another object."""
        self._secret = secret
        self._worker = worker
        self._scopes = scopes
        self.credit_slots = credit_slots
        self._place = place
        self._common: dict[_CommonKey, bytes | None] = {}
        self._credits: dict[int, bytes] = {}

    def begin_epoch(self, epoch: int) -> None:
        """Decide under this epoch from now on."""
        self.head = head_of(self._secret, self._worker, epoch)
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

    def credit_of(self, tenant_id: str) -> bytes | None:
        """Return the tenant's slot with its separator; ``None`` if its requests are asked for."""
        slot = self.credit_slots.slot_of(tenant_id)
        if slot is None:
            return None
        text = self._credits.get(slot)
        if text is None:
            text = self._credits[slot] = b"%d%b" % (slot, GROUP)
        return text

    def frame_of(self, template: Template, kind: TokenKind, length: int) -> _Frame | None:
        """Return the frame of payloads with tokens of a kind, of so many bytes of their own.

        ``None`` for those that a module can't repeat, or would not take.
        """
        common = self._common_of(template, kind)
        if common is None:
            return None
        length += len(self.head) + len(common)
        if length > MAX_PAYLOAD:
            return None
        return _Frame(metadata_opening(_KEY, length) + self.head, common)

    def _common_of(self, template: Template, kind: TokenKind) -> bytes | None:
        key = _CommonKey(template.ok, template.metadata, template.outcome, template.route, kind)
        try:
            return self._common[key]
        except KeyError:
            if len(self._common) >= MAX_COMMON:
                self._common.clear()
        fields: CommonFields = read_common(template)
        part = common_part(fields, template.outcome, template.route, template.key_state, kind)
        common = self._common[key] = None if part is None else self._place(part) + GROUP
        return common


class RepeatableTemplate(Template):
    """A template whose answers carry a payload while a lease is held."""

    __slots__ = ("_answers", "_frames", "_head", "_scope")

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
        self._scope = b"%d%b" % (scope, UNIT)
        self._answers = answers
        self._head = answers.head
        self._frames: dict[tuple[TokenKind, int], _Frame | None] = {}
        """By the token's kind and its bytes; most tokens of a template are of one."""

    def fill(self, own: EncodedFields, decision_id: bytes) -> bytes:
        """Return the serialised ``CheckResponse``."""
        answers = self._answers
        # Without super(), and all in one join: each Check that is asked for comes here.
        if answers.held and type(own) is RepeatableFields:
            headers, metadata, (times, slots, kind, length), tenant_id = own
            credit = answers.credit_of(tenant_id)
            if credit is not None:
                frame = self._frame(kind, length + len(credit))
                if frame is not None:
                    return b"".join((
                        self.opening, self.ok, headers, self.between, metadata, self.closing,
                        decision_id, frame[0], times, self._scope, credit, frame[1], slots,
                    ))  # fmt: skip
        return b"".join((
            self.opening, self.ok, own[0], self.between, own[1], self.closing, decision_id,
        ))  # fmt: skip

    def _frame(self, kind: TokenKind, length: int) -> _Frame | None:
        if self._head is not self._answers.head:  # of another epoch
            self._frames.clear()
            self._head = self._answers.head
        key = kind, length
        try:
            return self._frames[key]
        except KeyError:
            if len(self._frames) >= MAX_FRAMES:
                self._frames.clear()
            whole = length + len(self._scope)
            frame = self._frames[key] = self._answers.frame_of(self, kind, whole)
            return frame
