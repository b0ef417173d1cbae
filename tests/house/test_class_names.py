"""A class name means one thing: no two classes of the sidecar share it.

Settings end in ``Settings`` where a component has the plain name (``Route`` decides,
``RouteSettings`` is what the file says of it), so that a search for either finds only it.
"""

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import sidecar

ROOT = Path(sidecar.__file__).parent
NOT_OURS = ("pb",)
"""Generated code."""
NOT_THE_SIDECAR = ("demo",)
"""A stack of its own, with servers and pages of its own."""
SAME_MEANING: set[str] = set()
"""Two definitions of one thing, to become one definition. The set may only shrink."""


def defined(files: Mapping[str, str]) -> dict[str, list[str]]:
    """Return where each class name is defined, from source texts by file name."""
    places = defaultdict(list)
    for name, source in files.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{name}:{node.lineno}")
    return places


def of_the_sidecar() -> dict[str, str]:
    skipped = {*NOT_OURS, *NOT_THE_SIDECAR}
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in sorted(ROOT.rglob("*.py"))
        if skipped.isdisjoint(path.relative_to(ROOT).parts)
    }


def twice(places: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def test_a_repeated_name_is_found() -> None:
    files = {"a.py": "class Lease: ...\n", "b.py": "def f():\n    class Lease: ...\n"}
    assert twice(defined(files)) == {"Lease": ["a.py:1", "b.py:2"]}


def test_every_class_name_is_defined_once() -> None:
    places = defined(of_the_sidecar())
    assert len(places) > 300, "the files were not found"
    repeated = twice(places)
    assert {name: repeated[name] for name in repeated.keys() - SAME_MEANING} == {}


def test_no_exception_is_left_over() -> None:
    assert twice(defined(of_the_sidecar())).keys() >= SAME_MEANING, "remove it from SAME_MEANING"
