"""The policy, and the AppRole that has it and nothing else. Pure."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from sidecar.config import model
from sidecar.doctor.needs import doctor_needs, needs_of, revoking_needs
from sidecar.doctor.policy import policy_hcl, policy_of
from sidecar.vault_setup.step import WriteStep, parameters, shell, usable

APPROLE = "approle"
_TTL = "1h"
_TRIAL_TTL = "24h"
"""Of a token in a file, which no Vault agent renews yet."""
_COMMENT = re.compile(r"\s*#.*$", re.MULTILINE)


class LoginPlan(NamedTuple):
    """How the sidecar of these settings logs in, by what is to be made."""

    name: str
    """Of the policy and of the role."""
    mount: str
    """Of the AppRole method."""
    token_ttl: str

    @property
    def role(self) -> str:
        """The path of the role."""
        return f"auth/{self.mount}/role/{self.name}"


def login_plan(config: model.Config, name: str) -> LoginPlan | None:
    """Return the plan; ``None`` for a method that only the platform's operators can prepare."""
    match config.vault.auth:
        case model.AppRoleAuth(mount=mount):
            return LoginPlan(name, mount, _TTL)
        case model.TokenFileAuth():
            return LoginPlan(name, APPROLE, _TRIAL_TTL)
        case _:
            return None


def setup_policy(config: model.Config, *, revoking: bool) -> str:
    """Return the policy in HCL: what serving needs, and what ``sidecar doctor`` does."""
    more = (*doctor_needs(config), *(revoking_needs(config) if revoking else ()))
    return policy_hcl(policy_of((*needs_of(config), *more)), config.vault.namespace)


def policy_step(name: str, text: str, printed_by: str) -> WriteStep:
    """Return the step of the policy; ``printed_by`` is the command that prints its text."""
    return WriteStep(
        name=f"policy {name}",
        settings=("vault.auth",),
        command=f"{printed_by} | {shell('bao', 'policy', 'write', name, '-')}",
        looked_at=f"sys/policies/acl/{name}",
        picked="policy",
        written=f"sys/policies/acl/{name}",
        data=lambda: {"policy": text},
        judge=partial(_judge_policy, text, printed_by, name),
    )


def _judge_policy(text: str, printed_by: str, name: str, held: str) -> str:
    if _lines(held) == _lines(text):
        return ""
    return (
        "is another one than these settings need, and was not changed: compare it with "
        f"`{printed_by}`, and write that with `bao policy write {name} -` if it is yours"
    )


def _lines(text: str) -> frozenset[str]:
    """Return a policy's rules without comments and the spaces between words."""
    bare = (" ".join(line.split()) for line in _COMMENT.sub("", text).splitlines())
    return frozenset(filter(None, bare))


def approle_steps(plan: LoginPlan) -> tuple[WriteStep, ...]:
    """Return the steps of the method and of the role."""
    role = {
        "token_policies": [plan.name],
        "token_no_default_policy": True,
        "token_ttl": plan.token_ttl,
    }
    method = WriteStep(
        name=f"AppRole at auth/{plan.mount}",
        settings=("vault.auth",),
        command=shell("bao", "auth", "enable", f"-path={plan.mount}", APPROLE),
        looked_at="sys/auth",
        picked=f"{plan.mount}/",
        written=f"sys/auth/{plan.mount}",
        data=lambda: {"type": APPROLE},
        judge=lambda held: "" if held.get("type") == APPROLE else f"is {held.get('type')}",
    )
    named = WriteStep(
        name=f"role {plan.name} of auth/{plan.mount}",
        settings=("vault.auth",),
        command=shell("bao", "write", plan.role, *parameters(role)),
        looked_at=plan.role,
        picked="",
        written=plan.role,
        data=lambda: role,
        judge=partial(_judge_role, plan.name),
    )
    return method, named


def _judge_role(name: str, held: Mapping[str, Any]) -> str:
    policies = [str(each) for each in held.get("token_policies") or ()]
    if not held.get("token_no_default_policy"):
        policies.append("default")
    if policies == [name]:
        return ""
    return f"has the policies {', '.join(policies) or 'none'}, and not {name} alone"


def platform_step(auth: model.VaultAuth, policy: str) -> WriteStep:
    """Return the step of a role that is bound to what only the platform knows."""
    kind = type(auth).__struct_config__.tag
    mount, role = getattr(auth, "mount", ""), getattr(auth, "role", None)
    kept = "certs" if isinstance(auth, model.CertAuth) else "role"
    path = f"auth/{mount}/{kept}/{role or policy}"
    given = {"token_policies": policy, "token_no_default_policy": True}
    return WriteStep(
        name=f"role {role or policy} of auth/{mount}",
        settings=("vault.auth",),
        command=shell("bao", "write", path, *parameters(given)) + f"  # and who it is for: {kind}",
        looked_at=path,
        picked="",
        written="",
        data=dict,
        judge=usable,
    )
