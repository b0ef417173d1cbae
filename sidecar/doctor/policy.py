"""The policy of a configuration, as Vault reads it: HCL or JSON. Pure.

Of several paths in a policy that match a request, Vault goes by the most specific one alone. So
a path that another one of the policy covers is given what that one may do besides.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sidecar.doctor.vault_paths import VaultNeed

_SETTINGS_SHOWN = 3
_WITHOUT = "; without it, "


class PolicyLine(NamedTuple):
    """One path of a policy, with everything that any setting needs there."""

    path: str
    capabilities: tuple[str, ...]
    settings: tuple[str, ...]
    without: str
    """What is so without it; empty where something that was configured does not work then."""

    @property
    def comment(self) -> str:
        """What the line is for."""
        more = len(self.settings) - _SETTINGS_SHOWN
        shown = ", ".join(self.settings[:_SETTINGS_SHOWN]) + (f" and {more} more" * (more > 0))
        return shown + (_WITHOUT + self.without if self.without else "")

    def __str__(self) -> str:
        """Return the line in HCL, without its comment."""
        names = ", ".join(f'"{each}"' for each in self.capabilities)
        return f'path "{self.path}" {{ capabilities = [{names}] }}'


def policy_of(needs: Iterable[VaultNeed]) -> tuple[PolicyLine, ...]:
    """Return a line for each path, in the order in which the paths are first needed."""
    found: dict[str, list[VaultNeed]] = {}
    for need in needs:
        found.setdefault(need.path, []).append(need)
    covering = {
        prefix: [name for each in found[path] for name in each.capabilities]
        for path in found
        if (prefix := path.removesuffix("*")) != path
    }
    return tuple(
        PolicyLine(
            path,
            tuple(sorted({*_names(of), *_inherited(path, covering)})),
            tuple(dict.fromkeys(each.setting for each in of)),
            _without(of),
        )
        for path, of in found.items()
    )


def _names(needs: Iterable[VaultNeed]) -> Iterator[str]:
    return (name for each in needs for name in each.capabilities)


def _inherited(path: str, covering: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield what longer and shorter prefixes of a path may do, which are in the policy too."""
    at = path.find("/")
    while at != -1:
        yield from covering.get(path[: at + 1], ())
        at = path.find("/", at + 1)


def _without(needs: list[VaultNeed]) -> str:
    """Return what is so without the line; nothing if any of its needs can't be gone without."""
    words = dict.fromkeys(each.without for each in needs)
    return "" if "" in words else "; ".join(words)


def policy_hcl(lines: tuple[PolicyLine, ...], namespace: str | None) -> str:
    """Return the policy in HCL, a comment at each path that names the settings it is for."""
    where = f", in the namespace {namespace}" if namespace else ""
    head = f"# What these settings of the sidecar need of Vault{where}. By `sidecar vault policy`."
    width = max((len(each.path) for each in lines), default=0)
    body = (
        str(each).replace('" {', f'"{" " * (width - len(each.path))} {{', 1) + f"  # {each.comment}"
        for each in lines
    )
    return "\n".join((head, *body)) + "\n"


def policy_document(lines: tuple[PolicyLine, ...], namespace: str | None) -> dict[str, Any]:
    """Return the same for programs; ``policy`` is what Vault itself takes."""
    return {
        "namespace": namespace,
        "policy": {
            "path": {each.path: {"capabilities": list(each.capabilities)} for each in lines}
        },
        "lines": [
            {
                "path": each.path,
                "capabilities": list(each.capabilities),
                "settings": list(each.settings),
                "without": each.without or None,
            }
            for each in lines
        ],
    }
