"""The rules of response headers: every policy is one that a browser reads as it is meant."""

from collections.abc import Iterator, Mapping, Sequence

from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem
from sidecar.csp import SOURCE_LISTS, parse_policy

_IGNORED_IN_REPORTS = ("sandbox", "upgrade-insecure-requests")
"""What a browser passes over in a policy that is only watched (CSP3 §6.3.1, UIR §3.1)."""


def check_headers(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with ``headers``, ``tenants[].csp`` and what routes say of them."""
    for name, profile in config.headers.csp.items():
        where: Path = ("headers", "csp", name)
        yield from _policies((*where, "enforced"), profile.enforced)
        yield from _policies((*where, "report_only"), profile.report_only)
        for index, policy in enumerate(profile.report_only):
            for ignored in _IGNORED_IN_REPORTS:
                if ignored in policy:
                    path = (*where, "report_only", index, ignored)
                    yield Problem(path, "is passed over in a policy that is only watched")
        for index, directive in enumerate(profile.allow_additions):
            if directive not in SOURCE_LISTS:
                path = (*where, "allow_additions", index)
                yield Problem(path, f"{directive} is no directive that holds sources")


def _policies(where: Path, policies: Sequence[Mapping[str, Sequence[str]]]) -> Iterator[Problem]:
    for number, policy in enumerate(policies):
        _, wrong = parse_policy(policy)
        for message, directive, position in wrong:
            steps = tuple(step for step in (directive, position) if step is not None)
            yield Problem((*where, number, *steps), message)
