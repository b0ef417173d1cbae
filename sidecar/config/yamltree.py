"""YAML as a tree of plain values that remembers where each one stands.

PyYAML's safe constructor takes the last of two equal keys in silence and follows
anchors; a security policy must not have two readings, so both are refused here, and
only the core scalar types are known.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from sidecar.config.problem import Path, Problem, show_path

MAX_DEPTH = 32
_BOOL = "tag:yaml.org,2002:bool"
_TRUE_OR_FALSE = re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$")


class _Loader(yaml.SafeLoader):
    """Composes a tree without aliases: each setting is written where it stands."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        return super().compose_node(parent, index)


# YAML 1.1 takes off, no, on and yes for booleans, where a setting means the words.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _TRUE_OR_FALSE if tag == _BOOL else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class YamlTree:
    """The value of a document, its problems, and the line of every path in it."""

    def __init__(self) -> None:
        self.value: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {}

    def remember(self, path: Path, line: int) -> None:
        """Note the line (from 1) on which the value at ``path`` begins."""
        self._lines[path] = line

    def locate(self, problem: Problem) -> str:
        """Write a problem with its line: that of its path, or of the nearest parent."""
        line = problem.line
        path = problem.path
        while line is None and (line := self._lines.get(path)) is None and path:
            path = path[:-1]
        where = f"line {line}: " if line else ""
        return f"{where}{show_path(problem.path)}: {problem.message}"


def parse_yaml(text: str) -> YamlTree:
    """Parse one YAML document. Never raises: what is wrong is in ``problems``."""
    tree = YamlTree()
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as exc:
        number = text.count("\n", 0, exc.position) + 1
        message = f"is not YAML: holds the character U+{ord(text[exc.position]):04X}"
        tree.problems.append(Problem((), message, number))
        return tree
    try:
        node = loader.get_single_node()
        if node is None:
            tree.problems.append(Problem((), "is empty"))
        else:
            tree.value = _build(loader, node, (), tree)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else None
        message = getattr(exc, "problem", None) or "cannot be parsed"
        tree.problems.append(Problem((), f"is not YAML: {message}", line))
    except RecursionError:
        tree.problems.append(Problem((), "is nested too deeply"))
    finally:
        loader.dispose()
    return tree


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, tree: YamlTree) -> Any:
    line = node.start_mark.line + 1
    tree.remember(path, line)
    if len(path) > MAX_DEPTH:
        raise RecursionError
    if node.tag not in _TAGS:
        tree.problems.append(Problem(path, f"has the unsupported YAML type {node.tag}"))
        return None
    match node:
        case yaml.MappingNode():
            return _mapping(loader, node, path, tree)
        case yaml.SequenceNode():
            return [
                _build(loader, child, (*path, index), tree)
                for index, child in enumerate(node.value)
            ]
        case _:
            return _scalar(loader, node, path, tree)


def _mapping(
    loader: yaml.SafeLoader, node: yaml.MappingNode, path: Path, tree: YamlTree
) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key: Hashable = key_node.value
        line = key_node.start_mark.line + 1
        if not isinstance(key, str) or key_node.tag != "tag:yaml.org,2002:str":
            tree.problems.append(Problem(path, f"the key {key_node.value!r} is not a name", line))
            continue
        if key in mapping:
            tree.problems.append(Problem((*path, key), "stands here twice", line))
            continue
        mapping[key] = _build(loader, value_node, (*path, key), tree)
    return mapping


_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")
)


def _scalar(loader: yaml.SafeLoader, node: yaml.Node, path: Path, tree: YamlTree) -> Any:
    try:
        return loader.construct_object(node)
    except ValueError:
        tree.problems.append(Problem(path, f"is not a {node.tag.rpartition(':')[2]}"))
        return None
