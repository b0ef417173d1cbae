"""What one change of one line can be: the mutants of a file, made with libcst.

mutmut's operators (comparisons, ``and``/``or``, numbers, arguments, assignments …) and four of
ours, for what guards are made of: a condition that always or never holds, one part of an
``and``/``or`` left out, one statement left out, a value that is not returned. Left alone is
what only people read: the texts of refusals, faults and log lines.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import libcst as cst
from mutmut.mutation import mutators

Operator = Callable[[Any], Iterable[cst.CSTNode]]
_LEFT_OUT = {
    mutators.operator_string,
    mutators.operator_dict_arguments,
    mutators.operator_arg_removal,
    mutators.operator_assignment,
}
"""Ours of the same names are narrower: a missing argument is an error in any test."""
_SPOKEN = {"Denied", "Fault", "RevocationFault", "ListenFault", "PublisherFault", "RuntimeError"}
_LOGGERS = {"_log", "logging"}


def _conditions(node: cst.If | cst.While) -> Iterator[cst.CSTNode]:
    yield node.with_changes(test=cst.Name("False"))
    if isinstance(node, cst.If):
        yield node.with_changes(test=cst.Name("True"))


def _parts(node: cst.BooleanOperation) -> Iterator[cst.CSTNode]:
    """Leave out one side."""
    yield node.left
    yield node.right


def _statements(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """Leave out a call that is made for its effect, a ``raise``, a ``del``, a ``continue``."""
    only = node.body[0]
    docstring = isinstance(only, cst.Expr) and isinstance(only.value, cst.BaseString)
    if not docstring and isinstance(only, cst.Expr | cst.Raise | cst.Del | cst.Continue):
        yield node.with_changes(body=[cst.Pass()])


def _returned(node: cst.Return) -> Iterator[cst.CSTNode]:
    if node.value is not None and not _is_name(node.value, "None"):
        yield node.with_changes(value=cst.Name("None"))


def _strings(node: cst.SimpleString) -> Iterator[cst.CSTNode]:
    """Change a word, which is compared or sent; a sentence is read by people alone."""
    text = node.raw_value
    if text and " " not in text and not node.quote.startswith(('"""', "'''")):
        yield node.with_changes(value=f"{node.prefix}{node.quote}XX{text}{node.quote}")


def _arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    """Put ``None`` in place of an argument."""
    for at, argument in enumerate(node.args):
        if not argument.star and not _is_name(argument.value, "None") and not _is_spoken(argument):
            changed = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:at], changed, *node.args[at + 1 :]])


def _assigned(node: cst.Assign | cst.AnnAssign) -> Iterator[cst.CSTNode]:
    if node.value is not None and not _is_name(node.value, "None"):
        yield node.with_changes(value=cst.Name("None"))


OPERATORS: tuple[tuple[type, Operator], ...] = (
    *(
        (kind, operator)
        for kind, operator in mutators.mutation_operators
        if operator not in _LEFT_OUT
    ),
    (cst.Call, _arguments),
    (cst.Assign, _assigned),
    (cst.AnnAssign, _assigned),
    (cst.If, _conditions),
    (cst.While, _conditions),
    (cst.BooleanOperation, _parts),
    (cst.SimpleStatementLine, _statements),
    (cst.Return, _returned),
    (cst.SimpleString, _strings),
)


@dataclass(frozen=True)
class Mutant:
    """One change. ``change`` says it in the words of the code, whatever line it stands on."""

    path: str
    function: str
    change: str
    number: int
    """Which of those that say the same in this function, from 0."""
    function_hash: str
    module: cst.Module
    node: cst.CSTNode
    mutated: cst.CSTNode

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What it is known by between runs."""
        return self.path, self.function, self.change, self.number

    def source(self) -> str:
        """Return the file with the change in it."""
        return cast("cst.Module", self.module.deep_replace(self.node, self.mutated)).code


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a file's functions and methods."""
    module = cst.parse_module(path.read_text())
    found: list[Mutant] = []
    for name, function in _functions(module):
        said: dict[str, int] = {}
        digest = hashlib.sha256(module.code_for_node(function).encode()).hexdigest()[:16]
        for line, node, mutated in _changes(function.body, None):
            change = _say(module, line, node, mutated)
            if change is None:
                continue
            number = said[change] = said.get(change, -1) + 1
            found.append(Mutant(str(path), name, change, number, digest, module, node, mutated))
    return found


def _functions(module: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement.name.value, statement
        elif isinstance(statement, cst.ClassDef) and not _is_protocol(statement):
            for inner in statement.body.body:
                if isinstance(inner, cst.FunctionDef):
                    yield f"{statement.name.value}.{inner.name.value}", inner


def _changes(
    node: cst.CSTNode, line: cst.CSTNode | None
) -> Iterator[tuple[cst.CSTNode, cst.CSTNode, cst.CSTNode]]:
    """Yield the statement a change is in, what is changed, and into what."""
    if isinstance(node, cst.Annotation | cst.TypeAlias) or _is_spoken(node):
        return
    if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
        line = node
    if line is not None:
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                for mutated in operator(node):
                    yield line, node, mutated
    for child in node.children:
        yield from _changes(child, line)


def _is_spoken(node: cst.CSTNode) -> bool:
    """Tell whether this is what is said to people: nothing is decided by it."""
    if isinstance(node, cst.Arg):
        text = node.value
        sentence = isinstance(text, cst.FormattedString) or (
            isinstance(text, cst.SimpleString) and " " in text.raw_value
        )
        return sentence or isinstance(text, cst.ConcatenatedString)
    if not isinstance(node, cst.Call):
        return False
    if isinstance(node.func, cst.Attribute) and isinstance(node.func.value, cst.Name):
        return node.func.value.value in _LOGGERS
    # ``Denied(Reason.X, text)``: the reason is looked at by the answer's own tests.
    return isinstance(node.func, cst.Name) and node.func.value in _SPOKEN - {"Denied"}


def _is_protocol(statement: cst.ClassDef) -> bool:
    return any(_is_name(base.value, "Protocol") for base in statement.bases)


def _is_name(node: cst.CSTNode, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name


def _say(
    module: cst.Module, line: cst.CSTNode, node: cst.CSTNode, mutated: cst.CSTNode
) -> str | None:
    """Return ``before => after``, of the statement's first line or of what changed in it."""
    before = module.code_for_node(node).strip()
    after = module.code_for_node(mutated).strip()
    if before == after:
        return None
    if isinstance(node, cst.BaseCompoundStatement):
        before, after = before.split("\n")[0], after.split("\n")[0]
    place = module.code_for_node(line).strip()
    first = next(each for each in place.split("\n") if not each.lstrip().startswith("#")).strip()
    shown = f"{' '.join(before.split())} => {' '.join(after.split())}"
    return shown if before.startswith(first) else f"{first} | {shown}"
