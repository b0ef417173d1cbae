"""Parses YAML to a tree of plain values with the line of each.

YAML 1.2 (ruamel.yaml): ``off`` is text, ``0101`` is the number 101, ``1:30`` is text. A parser
may silently use the last of two equal keys, and follow aliases. A security policy must have
only one reading, so both are refused here, and only the core scalar types are accepted.

Envoy's files are read by the same rules with Envoy's liberties: aliases, keys that are no text,
values that ``!ignore`` leaves out. A plain word that Envoy takes for true or false and YAML 1.2
for text is a problem there.
"""

import re
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from sidecar.config.problem import LocatedProblem, Path, Problem

MAX_DEPTH, MAX_ENVOY_DEPTH = 32, 64
MAX_ENVOY_NODES = 200_000
"""With aliases followed: ten lines of them can stand for any number."""
_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset(
    f"{_PREFIX}{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")
)


_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]")
"""Control characters and surrogates, which only an escape can write."""
_NO_ESCAPE = re.compile(r"\\U(?!000|0010)[0-9A-Fa-f]{8}")
_IGNORED = "!ignore"
_ENVOYS_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})


class _Composer(Composer):
    """Composes a tree and refuses aliases."""

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        if self.parser.check_event(AliasEvent):
            mark = self.parser.peek_event().start_mark
            raise ComposerError(None, None, "aliases are not supported", mark)
        node: Node = super().compose_node(parent, index)
        return node


def compose(text: str, *, aliases: bool = False) -> Node | None:
    """Compose one document into nodes with positions; return ``None`` for an empty document.

    Raises ``YAMLError``, ``ValueError`` for an invalid character, and ``RecursionError``.
    """
    parser = YAML(typ="safe", pure=True)
    if not aliases:
        parser.Composer = _Composer
    node: Node | None = parser.compose(text)
    return node


_CONSTRUCTOR = YAML(typ="safe", pure=True).constructor
_CONSTRUCT: dict[str, Callable[[Node], Any]] = {
    "str": _CONSTRUCTOR.construct_scalar,
    "int": _CONSTRUCTOR.construct_yaml_int,
    "float": _CONSTRUCTOR.construct_yaml_float,
    "bool": _CONSTRUCTOR.construct_yaml_bool,
    "null": lambda _: None,
}
_KINDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false",
          "null": "null", "map": "a mapping", "seq": "a list"}  # fmt: skip


class YamlTree:
    """The value of a document, its problems, and the line of every path in it."""

    def __init__(self, *, of_envoy: bool = False) -> None:
        self.value: Any = None
        self.problems: list[Problem] = []
        self.of_envoy = of_envoy
        self._lines: dict[Path, int] = {}

    def remember(self, path: Path, line: int) -> None:
        """Store the line (from 1) on which the value at ``path`` begins."""
        self._lines[path] = line
        if self.of_envoy and len(self._lines) > MAX_ENVOY_NODES:
            raise ValueError(f"has more than {MAX_ENVOY_NODES} values, aliases followed")

    def locate(self, problem: Problem) -> LocatedProblem:
        """Return a problem as text with its line: that of its path, or of the nearest parent."""
        line = problem.line
        path = problem.path
        while line is None and (line := self._lines.get(path)) is None and path:
            path = path[:-1]
        return LocatedProblem(problem, line)


def parse_yaml(text: str, *, of_envoy: bool = False) -> YamlTree:
    """Parse one YAML document, with Envoy's liberties if it is a configuration ``of_envoy``.

    Never raises: faults are in ``problems``.
    """
    tree = YamlTree(of_envoy=of_envoy)
    try:
        node = compose(text, aliases=of_envoy)
        if node is None:
            tree.problems.append(Problem((), "is empty"))
        else:
            tree.value = _build(node, (), tree)
    except ReaderError as exc:
        at = text.count("\n", 0, exc.position) + 1
        found = f"is not YAML: has the character U+{ord(text[exc.position]):04X}"
        tree.problems.append(Problem((), found, at))
    except MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else None
        tree.problems.append(Problem((), f"is not YAML: {exc.problem or 'cannot be parsed'}", line))
    except (YAMLError, ValueError) as exc:
        tree.problems.append(_without_a_mark(text, exc))
    except RecursionError:
        tree.problems.append(Problem((), "is nested too deeply"))
    return tree


def _without_a_mark(text: str, exc: Exception) -> Problem:
    """Return the problem of a fault for which the parser has no place."""
    escape = _NO_ESCAPE.search(text)
    if escape is not None and isinstance(exc, ValueError):
        line = text.count("\n", 0, escape.start()) + 1
        return Problem((), f"is not YAML: {escape.group()} is the escape of no character", line)
    return Problem((), f"is not YAML: {str(exc).partition(chr(10))[0] or 'cannot be parsed'}")


def _build(node: Node, path: Path, tree: YamlTree) -> Any:
    tree.remember(path, node.start_mark.line + 1)
    if len(path) > (MAX_ENVOY_DEPTH if tree.of_envoy else MAX_DEPTH):
        raise RecursionError
    if node.tag not in _TAGS:
        if tree.of_envoy and isinstance(node, ScalarNode) and str(node.tag).startswith(_PREFIX):
            return node.value  # a date, to Envoy a text
        tree.problems.append(Problem(path, f"has the unsupported YAML type {node.tag}"))
        return None
    match node:
        case MappingNode():
            return _mapping(node, path, tree)
        case SequenceNode():
            return [_build(child, (*path, index), tree) for index, child in enumerate(node.value)]
        case ScalarNode():
            return _scalar(node, path, tree)
        case _:
            raise TypeError(f"a node of YAML is {type(node).__name__}")


def _mapping(node: MappingNode, path: Path, tree: YamlTree) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        line = key_node.start_mark.line + 1
        if (
            not isinstance(key, str)
            or _NO_TEXT.search(key)
            or not (tree.of_envoy or key_node.tag == f"{_PREFIX}str")
        ):
            tree.problems.append(Problem(path, f"the key {key!r} is not a name", line))
            continue
        if key in mapping:
            tree.problems.append(Problem((*path, key), "is set twice", line))
            continue
        if tree.of_envoy and value_node.tag == _IGNORED:
            continue
        mapping[key] = _build(value_node, (*path, key), tree)
    return mapping


def _scalar(node: ScalarNode, path: Path, tree: YamlTree) -> Any:
    kind = str(node.tag).removeprefix(_PREFIX)
    if not tree.of_envoy and (bad := _NO_TEXT.search(node.value)):
        message = f"has the character U+{ord(bad.group()):04X}, which no setting may have"
        tree.problems.append(Problem(path, message))
        return None
    if tree.of_envoy and node.style is None and node.value.lower() in _ENVOYS_BOOLEANS:
        found = "is true or false for Envoy and a text for others: write true, false or quotes"
        tree.problems.append(Problem(path, found))
    try:
        return _CONSTRUCT[kind](node)
    except (ValueError, LookupError):  # a value with an explicit tag that does not fit
        tree.problems.append(Problem(path, f"is not {_KINDS[kind]}"))
        return None
