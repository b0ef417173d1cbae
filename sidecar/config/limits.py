"""The settings of rate limits: how many requests, by what they are counted, and who shares them."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import FilePath, Settings, Text, VaultPath, text

Requests = Annotated[int, Meta(ge=1, le=1_000_000_000)]
PeriodSeconds = Annotated[int, Meta(ge=1, le=86_400)]


MAX_REFILL_SECONDS = 31 * 86_400
"""A burst must come back in this time; what takes longer is a quota, and overflows clocks."""


class RateSettings(Settings, frozen=True):
    """A rate: ``requests`` in ``per_seconds`` on average, ``burst`` of them at once.

    ``burst`` is ``requests`` unless it is given. With ``shadow: true`` requests over the limit
    are counted and pass.
    """

    requests: Requests
    per_seconds: PeriodSeconds = 1
    burst: Requests | None = None
    shadow: bool = False

    @property
    def refill_seconds(self) -> float:
        """How long it takes until a spent burst is whole again."""
        return (self.burst or self.requests) * self.per_seconds / self.requests


JsonPointer = Annotated[
    str, text(r"^(/([^~/\x00]|~[01])+)+$", "a JSON pointer of names, like /user/email", 256)
]
"""A path into a JSON document (RFC 6901), of objects only."""
FormField = Annotated[
    str,
    text(r"^[^\x00-\x20&=+%]{1,128}$", "a form field's name, without spaces, &, =, + and %", 128),
]


class LoginSettings(Settings, frozen=True):
    """The throttle of a login: attempts by address and account, and by account alone.

    Exactly one of ``account_json`` (a JSON pointer) and ``account_form`` (a form's field) says
    where the account stands in the request's body. Envoy must send the body
    (``with_request_body``); of a longer one than ``max_body_bytes`` no account is read.
    """

    account_json: JsonPointer | None = None
    account_form: FormField | None = None
    attempts: RateSettings = RateSettings(requests=5, per_seconds=60)
    account_attempts: RateSettings = RateSettings(requests=50, per_seconds=60)
    max_body_bytes: Annotated[int, Meta(ge=64, le=65_536)] = 8192


class RouteLimitSettings(Settings, frozen=True):
    """The limits of one route, in addition to those of all routes.

    ``total`` counts every request of the route, the others each tenant, address or token on its
    own. With ``fields: always`` answers that pass have the RateLimit fields too.
    """

    total: RateSettings | None = None
    tenant: RateSettings | None = None
    address: RateSettings | None = None
    token: RateSettings | None = None
    login: LoginSettings | None = None
    fields: Literal["refused", "always"] = "refused"


class TenantLimitEntry(Settings, frozen=True):
    """Tenants' own limits in Vault KV v2, read again every ``keys.poll_seconds``."""

    path: VaultPath = "limits/tenants"
    mount: VaultPath = "secret"


class RedisSettings(Settings, frozen=True):
    """The Redis or Valkey through which sidecars share one limit.

    A password is only ever in a file. ``prefix`` begins every key, so that several fleets may
    use one server.
    """

    address: Annotated[
        str,
        text(r"^([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$", "host:port or [IPv6]:port", 512),
    ]
    username: Text | None = None
    password_file: FilePath | None = None
    tls: bool = False
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    database: Annotated[int, Meta(ge=0, le=65_535)] = 0
    prefix: Annotated[
        str,
        text(r"^[A-Za-z0-9:._-]{1,64}$", "a beginning of keys: letters, digits, :, ., _ and -", 64),
    ] = "septem:limits:"
    timeout_seconds: Annotated[float, Meta(ge=0.05, le=10)] = 0.5
    sync_seconds: Annotated[float, Meta(ge=0.02, le=5)] = 0.1


class LimitsSettings(Settings, frozen=True):
    """Rate limits. Without this section no request is limited.

    ``tenant`` holds for each tenant, ``address`` for each client address and ``token`` for each
    token, on all routes together. ``tenant`` is SECURITY-MODEL §10's unless it is given.
    """

    tenant: RateSettings = RateSettings(requests=1000)
    address: RateSettings | None = None
    token: RateSettings | None = None
    tenants_from: TenantLimitEntry | None = None
    redis: RedisSettings | None = None
    max_keys: Annotated[int, Meta(ge=1000, le=10_000_000)] = 100_000
