"""The sidecar's configuration in the demo: pure, from where everything is to what it reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from demo.attacks import Targets
from demo.cases import AUDIENCE, EXPORT, INSTALL, ISSUER, LOGIN, OTHER_TENANT, TENANT
from demo.envoyproxy import EdgePorts
from demo.names import Names
from demo.shell import PREFIX
from sidecar.config.headers import SHELL_CSP

FRAMING_REPORTED = {
    "frame-ancestors": ["'none'"],
    "report-uri": ["/.well-known/septem/csp-reports"],
}
"""Chromium reports framing to a ``report-uri`` that stands alone, and not beside ``report-to``."""
_FROM_CDN = ("script-src", "style-src", "img-src", "font-src")
_API_HOST = "api.septemcore.com"


class Places(NamedTuple):
    """Where the parts of the stack are."""

    ports: EdgePorts
    admin_port: int
    vault_address: str
    vault_token: Path
    audit_log: Path
    registry: Path
    """The registered domains, a file."""


def sidecar_settings(
    places: Places,
    names: Names,
    targets: Targets,
    *,
    keys: Mapping[str, Any],
    on_demand: Mapping[str, Any] | None,
) -> Mapping[str, Any]:
    """Return the configuration. ``keys`` is its section; so is ``on_demand``, over defaults."""
    loopback = "127.0.0.1:{}".format
    ports = places.ports
    return {
        **_certificates(names, places.registry, on_demand),
        "listen": {
            "authz": {"address": loopback(ports.authz)},
            "sds": {"address": loopback(ports.sds)},
            "admin": {"address": loopback(places.admin_port)},
            "reports": {"address": loopback(ports.reports)},
        },
        "vault": {
            "address": places.vault_address,
            "auth": {"method": "token_file", "path": str(places.vault_token)},
            "timeout_seconds": 1.0,
        },
        "headers": {
            "csp": {
                "shell": {"enforced": [_shell_policy(targets)]},
                "document": {"enforced": [_document_policy(targets), FRAMING_REPORTED]},
            },
            # One person, one address, and a page that is nothing but violations.
            "reports": {"client_max_per_second": 50, "client_burst": 500},
        },
        "keys": keys,
        "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE]}]},
        "routes": _routes(),
        # One machine's load tests are one tenant: more than a tenant's 1,000 a second.
        "limits": {"tenant": {"requests": 100_000}, "tenants_from": {}},
        "modules": {"owner_roles": ["platform-owner"]},
        "tenants": [
            {"tenant_id": TENANT, "domain": names.own_domain},
            {"tenant_id": OTHER_TENANT, "domain": names.other_domain},
        ],
        "audit": {"to": {"sink": "file", "path": str(places.audit_log)}},
    }


def _certificates(
    names: Names, registry: Path, on_demand: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return the sections about certificates; customers' domains only with ``on_demand``."""
    internal = {"name": "internal", "type": "vault_pki", "role": "edge"}
    edge = {
        "name": "edge",
        "issuer": "internal",
        "common_name": names.of_edge[0],
        "alt_names": list(names.of_edge[1:]),
    }
    if on_demand is None:
        return {"issuers": [internal], "certificates": [edge]}
    customers = {**internal, "name": "customers", "share": True}
    domains = {"source": "file", "path": str(registry), "poll_seconds": 0.1}
    return {
        "issuers": [internal, customers],
        "certificates": [edge],
        "certificate_store": {},
        "on_demand": {"registry": domains, "issuer": "customers", **on_demand},
    }


def _routes() -> list[Mapping[str, Any]]:
    return [
        {"name": "assets", "path_prefix": "/assets", "auth": "none"},
        {"name": "landing", "path": "/", "auth": "optional"},
        {
            "name": "shell",
            "path": PREFIX,
            "auth": "optional",
            "csp": "document",
            "nonce": "no-store",
        },
        {"name": "shell-files", "path_prefix": PREFIX, "auth": "optional"},
        {
            "name": "install",
            "path_prefix": INSTALL,
            "methods": ["POST"],
            "csp": "api",
            "module": "unsigned_by_owner",
        },
        {
            "name": "login",
            "path": LOGIN,
            "auth": "none",
            "methods": ["POST"],
            "csp": "api",
            "limits": {"login": {"account_json": "/email"}},
        },
        {
            "name": "export",
            "path": EXPORT,
            "csp": "api",
            "limits": {"token": {"requests": 1, "per_seconds": 3600}, "fields": "always"},
        },
        {"name": "api", "path_prefix": "/api", "auth": "required", "csp": "api"},
    ]


def _shell_policy(targets: Targets) -> Mapping[str, Any]:
    """Return the built-in policy, with the platform's CDN and API (SECURITY-MODEL §6)."""
    hosts = dict.fromkeys(_FROM_CDN, targets.cdn) | {"connect-src": _API_HOST}
    return {
        name: [*listed, *([hosts[name]] if name in hosts else [])]
        for name, listed in SHELL_CSP.items()
    }


def _document_policy(targets: Targets) -> Mapping[str, Any]:
    """Return the same with a nonce, for the page's one inline script of its own.

    It reports by ``report-to`` alone, ``FRAMING_REPORTED`` beside it by ``report-uri``: the
    MDN Observatory takes several policies for one, and one directive twice for a slip.
    """
    policy = _shell_policy(targets)
    script = [*policy["script-src"], "'nonce-{nonce}'"]
    return {**policy, "script-src": script, "report-to": ["septem-csp"]}
