"""Additions to a YAML file as text: comments, order and style are preserved.

The file is composed into nodes with positions, and additions are inserted there, in the style
of their surroundings. Nothing is ever removed.
"""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from sidecar.common.errors import Fault
from sidecar.config.problem import Path, show_path
from sidecar.config.yamltree import compose

_INDENT = 2


class EditFault(Fault):
    """The file has a shape that can't be added to."""


class Edit(NamedTuple):
    """An insertion of ``text`` before the character at ``position``."""

    position: int
    text: str


def append_item(text: str, path: Path, item: str) -> str:
    """Return the file with one more item in the list at ``path``."""
    node = _find(_compose(text), path)
    if not isinstance(node, SequenceNode):
        raise EditFault(f"{show_path(path)} is not a list")
    if not node.value:
        return _apply(text, Edit(node.start_mark.index + 1, item))
    last = node.value[-1]
    if node.flow_style:
        return _apply(text, Edit(last.end_mark.index, f", {item}"))
    dash = text.rfind("-", 0, last.start_mark.index)
    column = dash - (text.rfind("\n", 0, dash) + 1)
    return _apply(text, _line_after(text, last, f"{' ' * column}- {item}\n"))


def add_entry(text: str, path: Path, key: str, lines: Sequence[str]) -> str:
    """Return the file with one more entry in the mapping at ``path``.

    ``lines`` are the value: one line follows its key, several are below it, each with its own
    indentation. The mapping is created if there is none.
    """
    root = _compose(text)
    found, missing = _deepest(root, path)
    if not isinstance(found, MappingNode):
        raise EditFault(f"{show_path(path)} is not a mapping")
    if found.flow_style:
        if missing or len(lines) > 1:
            where = show_path(path[: len(path) - len(missing)])
            raise EditFault(f"{where} is written in braces; write it in lines")
        end = found.value[-1][1].end_mark.index if found.value else found.start_mark.index + 1
        return _apply(text, Edit(end, f"{', ' if found.value else ''}{key}: {lines[0]}"))
    column = found.value[0][0].start_mark.column
    block = []
    for step in missing:
        block.append(f"{' ' * column}{step}:\n")
        column += _INDENT
    if len(lines) == 1:
        block.append(f"{' ' * column}{key}: {lines[0]}\n")
    else:
        block.append(f"{' ' * column}{key}:\n")
        block += (f"{' ' * (column + _INDENT)}{line}\n" for line in lines)
    return _apply(text, _line_after(text, found.value[-1][1], "".join(block)))


def unified_diff(before: str, after: str, name: str) -> str:
    """Return the change as a patch for ``patch -p1``."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{name.lstrip('/')}",
        f"b/{name.lstrip('/')}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _compose(text: str) -> Node:
    try:
        node = compose(text)
    except (YAMLError, ValueError, RecursionError) as exc:
        raise EditFault("the file is not YAML") from exc
    if node is None:
        raise EditFault("the file is empty")
    return node


def _find(node: Node, path: Path) -> Node:
    found, missing = _deepest(node, path)
    if missing:
        raise EditFault(f"{show_path(path)} is not in the file")
    return found


def _deepest(node: Node, path: Path) -> tuple[Node, Path]:
    """Follow ``path`` as far as it exists; return the last node and the remaining steps."""
    for number, step in enumerate(path):
        child = _child(node, step)
        if child is None:
            return node, path[number:]
        node = child
    return node, ()


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: Node = node.value[step]
        return found
    return None


def _line_after(text: str, node: Node, line: str) -> Edit:
    """Return the insertion of ``line`` after the line on which a node ends."""
    end = _end_of(node)
    newline = text.find("\n", end)
    if newline < 0:
        return Edit(len(text), f"\n{line}".removesuffix("\n"))
    return Edit(newline + 1, line)


def _end_of(node: Node) -> int:
    """Return where a node's text ends; a block's own mark is after the comments behind it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end_of(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end_of(node.value[-1])
    end: int = node.end_mark.index
    return end


def _apply(text: str, edit: Edit) -> str:
    return text[: edit.position] + edit.text + text[edit.position :]
