"""``sidecar demo`` runs only the demo of its own clone, and says what is missing."""

from argparse import Namespace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sidecar.cli import demo
from sidecar.cli.demo import NoDemoFault

OPTIONS = Namespace(once=True, tls_min="1.3", scenario=None, json=False)


def spec(origin: Path | None) -> ModuleSpec:
    return ModuleSpec("demo", None, origin=None if origin is None else str(origin))


@pytest.mark.parametrize(
    ("found", "is_a_clone", "ours"),
    [
        ("demo/__init__.py", True, True),
        ("demo/__init__.py", False, False),
        ("site-packages/demo/__init__.py", True, False),
        ("demo.py", True, False),
        (None, True, False),
        ("namespace", True, False),
    ],
    ids=["a clone", "installed", "somebody's package", "somebody's module", "none", "a folder"],
)
def test_only_the_demo_beside_this_package_is_ours(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    found: str | None,
    is_a_clone: bool,
    ours: bool,
) -> None:
    if is_a_clone:
        (tmp_path / "pyproject.toml").touch()
    beside = {None: None, "namespace": spec(None)}
    result = beside[found] if found in beside else spec(tmp_path / str(found))
    monkeypatch.setattr(demo, "_ROOT", tmp_path)
    monkeypatch.setattr(demo, "find_spec", lambda _: result)
    monkeypatch.setattr(demo, "import_module", lambda _: Played())
    if ours:
        assert demo._run(OPTIONS) == 7
    else:
        with pytest.raises(NoDemoFault, match="clone the project's repository"):
            demo._run(OPTIONS)


class Played:
    """What the command needs of the demo's module."""

    DemoOptions = dict

    def run_demo(self, options: dict[str, object]) -> int:
        assert options == vars(OPTIONS)
        return 7


def test_a_missing_package_of_the_demo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'rich'", name="rich")

    monkeypatch.setattr(demo, "import_module", missing)
    with pytest.raises(NoDemoFault, match=r"the demo needs rich: `make demo` installs it"):
        demo._run(OPTIONS)
