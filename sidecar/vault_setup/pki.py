"""Certificate authorities and their roles, with the least that the settings' names need. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from sidecar.config import model
from sidecar.doctor.needs import used_issuers
from sidecar.doctor.pki_role import role_problems
from sidecar.vault_setup.step import WriteStep, parameters, shell

ROOT_TTL = "87600h"
ROOT = {
    "common_name": "Septem development root",
    "ttl": ROOT_TTL,
    "key_type": "ec",
    "key_bits": 256,
}


class RoleUse(NamedTuple):
    """One issuer of the settings that signs by a role, and the certificates that it signs."""

    setting: str
    issuer: model.VaultPkiIssuer
    certificates: tuple[model.Certificate, ...]
    any_name: bool
    """Whether it signs names that no setting has: customers' domains."""


def root_step(mount: str, setting: str) -> WriteStep:
    """Return the step that makes a mount's own root, if it has no CA."""
    path = f"{mount}/root/generate/internal"
    return WriteStep(
        name=f"root CA of {mount}",
        settings=(setting,),
        command=shell("bao", "write", path, *parameters(ROOT)),
        looked_at=f"{mount}/config/issuers",
        picked="default",
        written=path,
        data=lambda: ROOT,
        judge=lambda _default: "",
    )


def role_steps(config: model.Config) -> Iterator[WriteStep]:
    """Yield a step for each role that signs a certificate; issuers may share one."""
    found: dict[str, list[RoleUse]] = {}
    for use in _uses(config):
        found.setdefault(f"{use.issuer.mount}/roles/{use.issuer.role}", []).append(use)
    for path, uses in found.items():
        role = role_of(uses)
        yield WriteStep(
            name=f"role {uses[0].issuer.role} of {uses[0].issuer.mount}",
            settings=tuple(each.setting for each in uses),
            command=shell("bao", "write", path, *parameters(role)),
            looked_at=path,
            picked="",
            written=path,
            data=partial(dict, role),
            judge=partial(_judge, uses),
        )


def role_of(uses: Iterable[RoleUse]) -> dict[str, Any]:
    """Return the parameters of a role that signs these certificates, and no name more.

    A wildcard needs the names below its domain. Customers' domains are in no setting: a role for
    them signs any host name.
    """
    uses = list(uses)
    certificates = [each for use in uses for each in use.certificates]
    names = dict.fromkeys(
        name.lower()
        for each in certificates
        for name in filter(None, (each.common_name, *each.alt_names))
    )
    uris = dict.fromkeys(each.spiffe_id for each in certificates if each.spiffe_id)
    keys = {(use.issuer.key or model.CertificateKey()).type for use in uses}
    longest = max(use.issuer.ttl_seconds for use in uses)
    role: dict[str, Any] = {
        "allow_localhost": False,
        "allow_ip_sans": any(each.ip_addresses for each in certificates),
        "key_type": keys.pop() if len(keys) == 1 else "any",
        "key_bits": 0,  # what Vault takes for the least of the type
        "max_ttl": f"{longest}s",
    }
    if any(use.any_name for use in uses):
        role["allow_any_name"] = True
    elif names:
        domains = dict.fromkeys(name.removeprefix("*.") for name in names)
        role["allowed_domains"] = list(domains)
        role["allow_bare_domains"] = True
        role["allow_subdomains"] = any(name.startswith("*.") for name in names)
    if uris:
        role["allowed_uri_sans"] = list(uris)
    if any(each.common_name is None and not each.alt_names for each in certificates):
        role["require_cn"] = False
    return role


def _uses(config: model.Config) -> Iterator[RoleUse]:
    used = used_issuers(config)
    seconds = {
        each.fallback: each.name
        for each in config.issuers
        if isinstance(each, model.AcmeIssuerSettings) and each.fallback is not None
    }
    customers = {config.on_demand.issuer} if config.on_demand is not None else set()
    for at, issuer in enumerate(config.issuers):
        if isinstance(issuer, model.VaultPkiIssuer) and issuer.name in used:
            orderers = {issuer.name, seconds.get(issuer.name)}
            yield RoleUse(
                f"issuers[{at}]",
                issuer,
                tuple(each for each in config.certificates if each.issuer in orderers),
                any_name=bool(orderers & customers),
            )


def _judge(uses: Iterable[RoleUse], held: Mapping[str, Any]) -> str:
    """Return what of the certificates the role that is there refuses."""
    for use in uses:
        for each in use.certificates:
            for problem in role_problems(held, use.issuer, each):
                return f"{problem}, for the certificate {each.name}"
        if use.any_name and not held.get("allow_any_name"):
            return "signs not every name: on_demand needs allow_any_name=true"
    return ""
