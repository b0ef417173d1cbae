"""Whether a role of Vault PKI signs a certificate of the settings. Pure.

By the rules of Vault's own ``validateNames``, for what the settings can ask for.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from sidecar.config import model

_LOCAL = ("localhost", "localdomain")
_TEMPLATES = ("allowed_domains_template", "allowed_uri_sans_template")


def role_problems(
    role: Mapping[str, Any], issuer: model.VaultPkiIssuer, certificate: model.Certificate
) -> Iterator[str]:
    """Yield what of a certificate the role refuses, and the parameter that would allow it."""
    if any(role.get(each) for each in _TEMPLATES):
        return  # what its names are made of, only Vault knows
    names = dict.fromkeys(filter(None, (certificate.common_name, *certificate.alt_names)))
    for name in names:
        if not _allows(role, name.lower()):
            yield f"refuses {name}: {_wanted(role, name.lower())}"
    if not names and role.get("require_cn", True):
        yield "refuses a certificate without a host name: require_cn=false"
    uri = certificate.spiffe_id
    if uri is not None and not any(_globs(each, uri) for each in _list(role, "allowed_uri_sans")):
        yield f"refuses {uri}: allowed_uri_sans must have it"
    if certificate.ip_addresses and not role.get("allow_ip_sans", True):
        yield "refuses addresses: allow_ip_sans=true"
    key = issuer.key
    if key is not None and role.get("key_type") not in {"any", key.type}:
        yield f"takes {role.get('key_type')} keys, and issuers[].key is {key.type}: key_type"


def _allows(role: Mapping[str, Any], name: str) -> bool:
    if name.startswith("*") and role.get("allow_wildcard_certificates", True) is False:
        return False
    if role.get("allow_any_name"):
        return True
    if name in _LOCAL and role.get("allow_localhost", True):
        return True
    return any(_matches(role, name, each.lower()) for each in _list(role, "allowed_domains"))


def _matches(role: Mapping[str, Any], name: str, domain: str) -> bool:
    if name == domain:
        return bool(role.get("allow_bare_domains"))
    if name.endswith(f".{domain}") and role.get("allow_subdomains"):
        return True
    return bool(role.get("allow_glob_domains")) and "*" in domain and _globs(domain, name)


def _wanted(role: Mapping[str, Any], name: str) -> str:
    if name.startswith("*") and role.get("allow_wildcard_certificates", True) is False:
        return "allow_wildcard_certificates=true"
    for domain in _list(role, "allowed_domains"):
        if name == domain.lower():
            return "allow_bare_domains=true"
        if name.endswith(f".{domain.lower()}"):
            return "allow_subdomains=true"
    return "allowed_domains must have it, or the domain it is below"


def _globs(pattern: str, text: str) -> bool:
    """Match with ``*`` as the only character of its own meaning."""
    escaped = "".join(f"[{each}]" if each in "?[" else each for each in pattern)
    return fnmatchcase(text, escaped)


def _list(role: Mapping[str, Any], name: str) -> list[str]:
    value = role.get(name) or []
    return value.split(",") if isinstance(value, str) else [str(each) for each in value]
