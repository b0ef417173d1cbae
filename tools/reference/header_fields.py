"""docs/reference-headers.md: what reaches the application, and what responses get by default."""

from collections.abc import Iterable, Mapping

import msgspec

from sidecar.config.model import Config
from sidecar.headers import tenant
from sidecar.headers.compile import compile_headers
from sidecar.headers.field import How, ResponseHeader
from sidecar.headers.security import Page
from tools.reference.page import page, table

_NONCE = "<nonce>"
REQUEST: Mapping[str, str] = {
    tenant.TENANT_ID: "the tenant of the verified token",
    tenant.USER_ID: "its user",
    tenant.ROLES: "its roles, joined by commas; absent where it has none",
    tenant.JWT_ID: "its id (`jti`)",
    tenant.CSP_NONCE: "the nonce of this response, on routes with `nonce: no-store`",
    tenant.MODULE_VERIFIED: "`true` or `false`: whether the bundle's signature was verified",
    tenant.MODULE_PUBLISHER: "who signed the bundle",
}
_HOW = {
    How.BESIDE: "beside the application's",
    How.IF_ABSENT: "if the application sends none",
    How.REPLACE: "in place of the application's",
    How.REPLACE_IF_PRESENT: "only in place of the application's",
}
_INTRODUCTION = """
[Headers](headers.md) explains policies, tenants' own, nonces and CORS; [What reaches your
application](what-reaches-your-application.md) lists the override headers that are removed from
requests.
"""


def headers_page() -> str:
    """Return the page: the values are what the code sends with the settings left out."""
    if REQUEST.keys() != set(tenant.TRUSTED):
        message = f"trusted headers without a meaning: {REQUEST.keys() ^ set(tenant.TRUSTED)}"
        raise LookupError(message)
    config = msgspec.convert(
        {
            "vault": {
                "address": "unix:/agent.sock",
                "auth": {"method": "token_file", "path": "/t"},
            },
            "tokens": {"issuers": [{"issuer": "https://idp.example.com", "audiences": ["a"]}]},
            "routes": [{"name": "all", "path_prefix": "/"}],
        },
        Config,
    )
    compiled = compile_headers(config)
    request = [(f"`{name}`", words) for name, words in REQUEST.items()]
    body = [
        "## Requests\nTrusted headers: a client's own never arrives, in no spelling.\n\n"
        + table(("Header", "What it says"), request),
        "## Responses\nWith the default settings, by the route's profile (`routes[].csp`).",
    ]
    body += [
        f"### Profile {name}\n{_table(compiled.on_allowed(name, Page(None), None))}"
        for name in compiled.profiles
    ]
    body.append(f"## Denials\n{_table(compiled.on_denied())}")
    return page("Headers", "sidecar/headers/ and the default settings", _INTRODUCTION, body)


def _table(headers: Iterable[ResponseHeader]) -> str:
    rows = ((f"`{e.name}`", f"`{e.value.decode()}`", _HOW[How(e.how)]) for e in headers)
    return table(("Header", "Value", "Set"), rows)
