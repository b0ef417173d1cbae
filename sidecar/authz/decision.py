"""What a Check comes to: a plain value, turned into protobuf at the edge."""

from collections.abc import Mapping

import msgspec

from sidecar.authz.response_cache import ResolvedTarget
from sidecar.authz.routes import UNMATCHED, RouteTable
from sidecar.common.reasons import Grant, Reason
from sidecar.headers.security import SecurityHeaders
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.install import ModuleMode, ModulePolicy, Provenance
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.tokens.cache import CachedToken
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.pii import PiiAction
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations
from sidecar.tokens.verifier import TokenPolicy, VerifiedToken


class RequestView(msgspec.Struct, frozen=True, gc=False):
    """What a decision looks at. Bytes are as the client sent them; nothing is trusted.

    ``headers`` has lower-case names; a header that came several times is joined by
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
    """Empty but where Envoy is told to send it: on routes that install modules."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything a decision stands on, replaced whole when any of it changes."""

    ring: KeyRing
    routes: RouteTable
    tokens: TokenPolicy
    headers: SecurityHeaders
    names_to_remove: tuple[str, ...]
    """What an answer tells Envoy to remove from the request, but for what it sets."""
    kept_by_route: Mapping[str, frozenset[str]] = {}
    """By a route's name, what its answers leave in (``routes[].keep_overrides``)."""
    revocations: Revocations = NOTHING_REVOKED
    key_state: KeyState = KeyState.ACTIVE
    refuse_degraded: bool = False
    revocations_degraded: bool = False
    """What is revoked was not read for longer than its ``max_age_seconds``."""
    pii_names: PiiAction = PiiAction.DENY
    pii_values: PiiAction = PiiAction.WARN
    modules: ModulePolicy | None = None
    publishers: Publishers = NO_PUBLISHERS


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Allowed on a ground, or denied for a reason; and what is known of the request.

    ``host``, ``path`` and ``method`` are canonical, or empty where the request was
    refused before they could be read. ``detail`` is for the audit log alone.
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
    """The beginning of the credential's SHA-256: finds a token in the audit log, is not one."""
    warnings: tuple[str, ...] = ()
    """What was found and let pass: personal data in claims."""
    shadowed: Reason | None = None
    """Why a route in shadow mode would have refused."""
    remembered: CachedToken | None = None
    """Where answers for this token are kept, if it is remembered."""
    visit: ResolvedTarget | None = None
    """Where answers for this target are kept, if it is remembered."""
    nonce: bool = False
    """Whether the response has a nonce of its own."""
    cors: str = ""
    """The policy of what pages of other origins may read."""
    origin: str = ""
    """The origin whose pages may read the answer; ``*`` for all, empty for none."""
    module: ModuleMode | None = None
    """How the bundle is still to be judged: the rest of the request may pass."""
    provenance: Provenance | None = None
    """Where the bundle that may be installed comes from."""
    stream_milliseconds: int = 0
    """How long the stream may last, on a route that ends streams with their token; else 0."""

    removed: tuple[str, ...] = ()
    """Request headers in which the application could find a credential that nobody verified."""
    cookie: bytes | None = None
    """The ``Cookie`` header that is to arrive in place of the one that came."""

    @property
    def allowed(self) -> bool:
        """Tell whether the request may pass: with a bundle, only once that is judged."""
        return isinstance(self.outcome, Grant) and (
            self.module is None or self.provenance is not None
        )
