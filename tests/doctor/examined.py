"""Runs the doctor over a configuration with a token of the printed policy."""

from pathlib import Path

from demo.openbao import OpenBao
from sidecar.config import model
from sidecar.doctor.component import examine
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis
from sidecar.doctor.needs import doctor_needs, needs_of
from sidecar.doctor.policy import PolicyLine, policy_hcl, policy_of


def all_lines(config: model.Config) -> tuple[PolicyLine, ...]:
    """Return the policy of a sidecar that may be looked at."""
    return policy_of((*needs_of(config), *doctor_needs(config)))


def allow(openbao: OpenBao, config: model.Config, lines: tuple[PolicyLine, ...]) -> None:
    """Let the token of the configuration do what these lines say, and nothing else."""
    assert isinstance(config.vault.auth, model.TokenFileAuth)
    token = openbao.token_for(policy_hcl(lines, None), name="looked-at")
    Path(config.vault.auth.path).write_text(token)


async def examined(config: model.Config, envoy_admin: str | None = None) -> dict[str, Diagnosis]:
    """Return what is found of each thing, by its name."""
    return {each.name: each async for each in examine(config, envoy_admin)}


def failed(found: dict[str, Diagnosis]) -> list[str]:
    """Return the names of what failed."""
    return [each.name for each in found.values() if each.outcome is CheckOutcome.FAILED]
