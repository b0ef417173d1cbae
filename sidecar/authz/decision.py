"""The values of a Check: request view, snapshot and decision. ``encoding`` knows the protobuf."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from sidecar.authz.response_cache import ResolvedTarget
from sidecar.authz.routes import UNMATCHED, RouteTable
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.headers.security import SecurityHeaders
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.fields import Field
from sidecar.limits.policy import RouteLimits
from sidecar.module_signing.install import ModuleMode, ModulePolicy, Provenance
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.tokens.cache import CachedToken
from sidecar.tokens.dpop import DpopRules
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.pii import PiiAction
from sidecar.tokens.policy import TokenPolicy
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations
from sidecar.tokens.tenant_tables import TenantTables
from sidecar.tokens.verifier import VerifiedToken


class RequestView(msgspec.Struct, frozen=True, gc=False):
    """The input of a decision. Bytes are as the client sent them; nothing is trusted.

    ``headers`` has lower-case names; a header that was sent several times is joined by
    commas. ``source`` is the peer's address without port, ``principal`` its verified
    certificate's identity, ``certificate`` that certificate, URL-encoded PEM.
    """

    method: bytes
    host: bytes
    path: bytes
    headers: Mapping[str, bytes]
    source: str = ""
    principal: str = ""
    certificate: str = ""
    body: bytes = b""
    """Empty except on routes that install modules, where Envoy is configured to send it."""
    request_id: str = ""
    """Envoy's id of the request, if it has the form of one (``authz.request_ids``)."""
    trace_context: bytes = b""
    """That of Envoy's own span (``authz.encoding.request.carry_trace``); empty without one."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that decisions depend on, replaced as a whole when any of it changes."""

    ring: KeyRing
    routes: RouteTable
    tokens: TokenPolicy
    headers: SecurityHeaders
    names_to_remove: tuple[str, ...]
    """Request headers that Envoy removes, except those that the answer sets."""
    kept_by_route: Mapping[str, frozenset[str]] = {}
    """By route name, the headers that are not removed (``routes[].keep_overrides``)."""
    dpop: DpopRules = DpopRules()
    revocations: Revocations = NOTHING_REVOKED
    key_state: KeyState = KeyState.ACTIVE
    refuse_degraded: bool = False
    revocations_degraded: bool = False
    """The revocations were not read for longer than their ``max_age_seconds``."""
    pii_names: PiiAction = PiiAction.DENY
    pii_values: PiiAction = PiiAction.WARN
    modules: ModulePolicy | None = None
    publishers: Publishers = NO_PUBLISHERS
    tenant_tables: TenantTables = {}
    """The tables of tenants that were read; ``tokens`` has those that its issuers name."""
    recorded_rules: str = ""
    """A digest of the rules of tokens; empty where audit lines have no inputs of decisions."""

    def check_age(self) -> None:
        """Deny with keys or revocations past their maximum age; for ``when_degraded: refuse``."""
        if self.key_state is KeyState.DEGRADED:
            raise Denied(Reason.KEYS_DEGRADED, "the keys are older than keys.max_age_seconds")
        if self.revocations_degraded:
            raise Denied(
                Reason.KEYS_DEGRADED,
                "the revocations are older than keys.revocations.max_age_seconds",
            )


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The grant or the reason of a denial, and what the evaluation knows of the request.

    ``host``, ``path`` and ``method`` are canonical, or empty where the request was denied
    before they could be read. ``detail`` is for the audit log only.
    """

    outcome: Reason | Grant
    detail: str = ""
    route: str = UNMATCHED
    method: str = ""
    host: str = ""
    path: str = ""
    csp: str = ""
    token: VerifiedToken | None = None
    token_digest: str = ""
    """The beginning of the credential's SHA-256: identifies a token in the audit log."""
    warnings: tuple[str, ...] = ()
    """Personal data in claims that was found and allowed."""
    shadowed: Reason | None = None
    """Why a route in shadow mode would have denied the request."""
    cached_token: CachedToken | None = None
    """The token's cache entry, if it is cached."""
    target: ResolvedTarget | None = None
    """The target's cache entry, if it is cached."""
    nonce: bool = False
    """Whether the response has a nonce of its own."""
    cors: str = ""
    """The CORS policy's name; empty for none."""
    origin: str = ""
    """The origin whose pages may read the answer; ``*`` for all, empty for none."""
    module: ModuleMode | None = None
    """How the bundle must still be checked; every other step has succeeded."""
    provenance: Provenance | None = None
    """The origin of a bundle that was checked and may be installed."""
    stream_milliseconds: int = 0
    """How long the stream may last, on a route that ends streams with their token; else 0."""
    removed: tuple[str, ...] = ()
    """Request headers in which the application could find an unverified credential."""
    limits: RouteLimits | None = None
    """What the route counts; ``None`` where no route matched or nothing is limited."""
    fields: tuple[Field, ...] = ()
    """The response fields of rate limits, and the nonce for the next DPoP proof."""
    cookie: bytes | None = None
    """The ``Cookie`` header that replaces the client's."""
    dpop: Literal["", "accepted", "required"] = ""
    """Whether the route takes tokens under the scheme ``DPoP``, for the challenge."""
    inputs: RecordedInputs = NO_INPUTS
    """What the audit line has of what this was decided from."""
    known_token: VerifiedToken | None = None
    """The token that is genuine though the request was denied; where inputs are recorded."""

    @property
    def allowed_before_bundle(self) -> bool:
        """Whether the request passed every step but that of its bundle, if it has one."""
        return isinstance(self.outcome, Grant)

    @property
    def allowed(self) -> bool:
        """Whether the request may pass; with a bundle, only once the bundle is checked."""
        return isinstance(self.outcome, Grant) and (
            self.module is None or self.provenance is not None
        )
