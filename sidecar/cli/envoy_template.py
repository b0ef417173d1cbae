"""Fills the template of Envoy's file: which parts stand in it, and the values.

A line ``#| if a and not b`` begins lines that are kept where the part ``a`` is wanted and ``b`` is
not; ``#| end`` ends them. They may stand in each other. ``@NAME@`` is a value. To YAML the lines
are comments, so that the template can be read as what it makes.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from importlib.resources import files

_VALUE = re.compile(r"@([0-9A-Z_]+)@")
_DIRECTIVE = "#| "


def fill(parts: Collection[str], values: Mapping[str, str], name: str = "envoy_edge.yaml") -> str:
    """Return the template with these parts and values. Raises ``KeyError`` for one that lacks."""
    text = files("sidecar.cli").joinpath(name).read_text("utf-8")
    kept = "".join(_kept(text.splitlines(keepends=True), frozenset(parts)))
    return _VALUE.sub(lambda found: values[found[1]], kept)


def _kept(lines: list[str], parts: frozenset[str]) -> Iterator[str]:
    open_parts: list[bool] = []
    for line in lines:
        if not line.startswith(_DIRECTIVE):
            if all(open_parts):
                yield line
        elif line.strip() == f"{_DIRECTIVE}end":
            open_parts.pop()
        else:
            condition = line.strip().removeprefix(f"{_DIRECTIVE}if ")
            open_parts.append(all(_holds(each, parts) for each in condition.split(" and ")))


def _holds(condition: str, parts: frozenset[str]) -> bool:
    if condition.startswith("not "):
        return condition.removeprefix("not ") not in parts
    return condition in parts
