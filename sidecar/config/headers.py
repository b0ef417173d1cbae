"""The settings of response headers: policies by profile, and CORS.

A *profile* is for one kind of response: its Content-Security-Policies, and the other headers
that differ from ``Headers``. Four are built in (SECURITY-MODEL §6); a profile of the same name
replaces the built-in one.
"""

from typing import Annotated, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from sidecar.config.base import Label, Method, Settings, text
from sidecar.config.reports import Reports

HSTS = "max-age=31536000; includeSubDomains; preload"
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

HeaderName = Annotated[
    str,
    text(
        r"^[a-z0-9][a-z0-9-]{0,62}$", "a header's name in lower case, of letters, digits and -", 63
    ),
]
HeaderValue = Annotated[
    str, text(r"^[\x20-\x7e]+$", "a header's value: printable ASCII in one line", 4096)
]
DirectiveName = Annotated[
    str, text(r"^[a-z][a-z-]{0,40}$", "a directive's name, of lower-case letters and -", 41)
]
DirectiveValue = Annotated[str, Meta(min_length=1, max_length=512)]
CspDirectives = dict[DirectiveName, Annotated[tuple[DirectiveValue, ...], Meta(max_length=64)]]
"""One policy as written: directives, each with the list of its values."""
Policies = Annotated[tuple[CspDirectives, ...], Meta(max_length=4)]

ReferrerPolicy = Literal[
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
]
OpenerPolicy = Literal[
    "same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"
]
EmbedderPolicy = Literal["require-corp", "credentialless", "unsafe-none"]
ResourcePolicy = Literal["same-origin", "same-site", "cross-origin"]


class CspProfile(Settings, frozen=True):
    """The headers of one kind of response. The default of each is its value in ``Headers``.

    All policies of ``enforced`` apply at once; those of ``report_only`` only report.
    ``allow_additions`` are the directives to which a tenant may add its own hosts.
    """

    enforced: Policies = ()
    report_only: Policies = ()
    allow_additions: Annotated[tuple[DirectiveName, ...], Meta(max_length=32)] = ()
    application_csp: Literal["replace", "intersect"] = "replace"
    application_headers: Literal["replace", "keep"] = "replace"
    referrer_policy: ReferrerPolicy | None = None
    permissions_policy: HeaderValue | None = None
    cross_origin_opener_policy: OpenerPolicy | None = None
    cross_origin_embedder_policy: EmbedderPolicy | None = None
    cross_origin_resource_policy: ResourcePolicy | None = None
    origin_agent_cluster: bool | None = None


_NOTHING: CspDirectives = {
    "default-src": ("'none'",),
    "base-uri": ("'none'",),
    "form-action": ("'none'",),
    "frame-ancestors": ("'none'",),
}
SHELL_CSP: CspDirectives = {
    "default-src": ("'none'",),
    "script-src": ("'self'",),
    "style-src": ("'self'",),
    "img-src": ("'self'", "data:"),
    "font-src": ("'self'",),
    "connect-src": ("'self'", "{tenant_domain}"),
    "manifest-src": ("'self'",),
    "worker-src": ("'self'",),
    "object-src": ("'none'",),
    "base-uri": ("'none'",),
    "form-action": ("'self'",),
    "frame-ancestors": ("'none'",),
    "require-trusted-types-for": ("'script'",),
    "trusted-types": ("septem",),
    "upgrade-insecure-requests": (),
}
"""For documents. It names no host: a platform's CDN and API are in its configuration (the
model's in ``config.example.yaml``, SECURITY-MODEL §6)."""
STATIC_CSP: CspDirectives = {
    **_NOTHING,
    "script-src": ("'self'",),
    "connect-src": ("'self'", "{tenant_domain}"),
}
"""For files. A worker has the policy of its own script, which is why scripts are allowed."""
BUILT_IN = {
    "shell": CspProfile(enforced=(SHELL_CSP,)),
    "api": CspProfile(enforced=(_NOTHING,)),
    "static": CspProfile(enforced=(STATIC_CSP,)),
    "none": CspProfile(application_csp="intersect"),
}
"""``none`` sets no policy: the application's own applies."""

Origin = Annotated[str, Meta(min_length=1, max_length=300)]


class CorsPolicy(Settings, frozen=True):
    """Which pages of other origins may read a route's answers (Fetch §3.2).

    ``origins`` are ``scheme://host[:port]``, ``scheme://*.suffix`` (any depth below it),
    ``https://{tenant_domain}``, or ``*`` alone.
    """

    origins: Annotated[tuple[Origin, ...], Meta(min_length=1, max_length=256)]
    methods: Annotated[tuple[Method, ...], Meta(min_length=1, max_length=16)] = (
        "GET",
        "HEAD",
        "POST",
    )
    request_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = (
        "authorization",
        "content-type",
    )
    expose_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    credentials: bool = False
    max_age_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600


class Headers(Settings, frozen=True):
    """Security headers of every response (SECURITY-MODEL §6, §9)."""

    hsts: HeaderValue = HSTS
    referrer_policy: ReferrerPolicy = "strict-origin-when-cross-origin"
    permissions_policy: HeaderValue = PERMISSIONS
    cross_origin_opener_policy: OpenerPolicy = "same-origin"
    cross_origin_embedder_policy: EmbedderPolicy | None = None
    cross_origin_resource_policy: ResourcePolicy = "same-origin"
    origin_agent_cluster: bool = True
    csp: Annotated[dict[Label, CspProfile], Meta(max_length=256)] = field(default_factory=dict)
    cors: Annotated[dict[Label, CorsPolicy], Meta(max_length=256)] = field(default_factory=dict)
    remove_from_request: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    keep_overrides: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    reports: Reports | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "csp", {**BUILT_IN, **self.csp})
