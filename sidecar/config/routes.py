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


class RouteSettings(Settings, frozen=True):
    """The requirements of a request. The first route that matches decides; none means 403.

    ``path`` matches exactly and ``path_prefix`` by whole segments (``/a`` holds ``/a``
    and ``/a/b``, not ``/ab``), both against the canonical path. Empty ``methods`` are
    all methods; GET includes HEAD (RFC 9110 §9.3.2) unless ``head_with_get`` is false. With
    ``path_reading`` ``lenient`` a request is refused that a server which ignores case or a
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
    shadow: bool = False
    keep_overrides: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    module: Literal["signed", "unsigned_by_owner"] | None = None
    end_streams_with_token: bool = False
    limits: RouteLimitSettings | None = None
