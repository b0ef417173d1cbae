"""The tests' folders mirror the tree: one file a module, where there is logic."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
WHOLE = {
    "applications", "browser", "docs", "fuzz", "graders", "house", "idp", "integration",
    "mutation", "packaging", "policy", "streams", "support",
}  # fmt: skip
"""Folders about several components, or about the repository: see CONTRIBUTING.md."""
NOT_COMPONENTS = {"pb"}
"""Generated."""


def has_logic(path: Path) -> bool:
    """Whether a module has a function that decides: a branch, a loop or an exception handled."""
    deciding = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Match, ast.BoolOp)
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return any(isinstance(inner, deciding) for each in functions for inner in ast.walk(each))


def modules() -> set[str]:
    """Every module with logic, as ``tokens/claims`` or ``workload/mtls/peers``."""
    paths = [*(ROOT / "sidecar").rglob("*.py"), *(ROOT / "workload").rglob("*.py")]
    found = {path: path.relative_to(ROOT) for path in paths if not path.name.startswith("__")}
    return {
        str(name.with_suffix("")).removeprefix("sidecar/")
        for path, name in found.items()
        if name.parts[1] not in NOT_COMPONENTS and has_logic(path)
    }


def names_of_tests() -> set[str]:
    """Every module that has a test file of its name, in the folder that mirrors its own."""
    paths = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return {str(path.parent / path.stem.removeprefix("test_")) for path in paths}


def test_every_folder_of_tests_mirrors_one_of_the_tree() -> None:
    for path in sorted({each.parent for each in TESTS.rglob("test_*.py")} - {TESTS}):
        folder = path.relative_to(TESTS)
        if folder.parts[0] not in WHOLE:
            assert (ROOT / "sidecar" / folder).is_dir() or (ROOT / folder).is_dir(), folder


def test_every_module_with_logic_has_a_test_of_its_name() -> None:
    missing = modules() - names_of_tests()
    assert not missing, f"write tests/<component>/test_<module>.py for {sorted(missing)}"
