"""The settings of routes: what a request must bring (SECURITY-MODEL §3, §4)."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import (
    ClientName,
    HostPattern,
    Label,
    Method,
    RoutePath,
    Settings,
    Text,
    TokenPlace,
    Uuid,
)
from sidecar.config.headers import HeaderName
from sidecar.config.limits import RouteLimitSettings


class BindingSettings(Settings, frozen=True):
    """Tokens that are bound to a key of their holder (claim ``cnf``, RFC 7800).

    ``by`` are the ways of which this route takes the proof: ``dpop`` (RFC 9449) and
    ``certificate`` (RFC 8705). With ``unbound: accept`` tokens without ``cnf`` pass as before.
    """

    by: Annotated[tuple[Literal["dpop", "certificate"], ...], Meta(min_length=1, max_length=2)]
    unbound: Literal["refuse", "accept"] = "refuse"


class RouteSettings(Settings, frozen=True):
    """The requirements of a request. The first route that matches decides; none means 403.

    ``path`` matches exactly and ``path_prefix`` by whole segments (``/a`` holds ``/a``
    and ``/a/b``, not ``/ab``), both against the canonical path. Empty ``methods`` are
    all methods; GET includes HEAD (RFC 9110 §9.3.2) unless ``head_with_get`` is false. With
    ``path_reading`` ``lenient`` a request is denied that a server which ignores case or a
    slash at the end may take for one of a stricter route; ``exact`` says that the
    application tells such paths apart.
    """

    name: Label
    auth: Literal["required", "optional", "none"] = "required"
    hosts: Annotated[tuple[HostPattern, ...], Meta(min_length=1, max_length=1024)] = ("*",)
    methods: Annotated[tuple[Method, ...], Meta(max_length=16)] = ()
    head_with_get: bool = True
    path: RoutePath | None = None
    path_prefix: RoutePath | None = None
    path_reading: Literal["lenient", "exact"] = "lenient"
    csp: Label = "shell"
    nonce: Literal["off", "no-store"] = "off"
    cors: Label | None = None
    tenant: Uuid | None = None
    roles: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    scopes: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    token_from: Annotated[tuple[TokenPlace, ...], Meta(min_length=1, max_length=4)] = ("header",)
    clients: Annotated[tuple[ClientName, ...], Meta(max_length=256)] = ()
    binding: BindingSettings | None = None
    shadow: bool = False
    keep_overrides: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    module: Literal["signed", "unsigned_by_owner"] | None = None
    end_streams_with_token: bool = False
    limits: RouteLimitSettings | None = None

    @property
    def bound_by(self) -> tuple[str, ...]:
        """How bound tokens may be proved here; empty where none passes."""
        return () if self.binding is None else self.binding.by

    @property
    def reads_certificate(self) -> bool:
        """Whether Envoy must send the client's certificate."""
        return bool(self.clients) or "certificate" in self.bound_by
