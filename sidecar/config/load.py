"""Loads a YAML file into ``Config``, and reports every problem, not only the first.

Three passes, each pure: the text becomes a tree with line numbers and without repeated keys
(``yamltree``); the tree is checked against the types (``convert``); the whole is checked
against the rules that span settings (``rules``).
"""

from pathlib import Path
from typing import Any, NamedTuple

from sidecar.common.errors import ConfigFault
from sidecar.config.convert import convert
from sidecar.config.model import Config
from sidecar.config.problem import Problem
from sidecar.config.rules import cross_check
from sidecar.config.rules_texts import text_problems
from sidecar.config.yamltree import YamlTree, parse_yaml

MAX_FILE_BYTES = 8_388_608


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ``ConfigFault`` with every problem in it."""
    return parse_config(read_config(path), str(path))


def read_config(path: Path) -> str:
    """Return the text of the file. Raises ``ConfigFault``."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigFault(str(path), (f"cannot be read: {exc.strerror}",)) from exc
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigFault(str(path), (f"is larger than {MAX_FILE_BYTES} bytes",))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigFault(str(path), ("is not UTF-8",)) from exc


class Loaded(NamedTuple):
    """A configuration, and where in the file its settings are."""

    config: Config
    tree: YamlTree


def parse_config(text: str, source: str) -> Config:
    """Check a configuration given as text; ``source`` is its name in messages."""
    return parse_located(text, source).config


def load_located(path: Path) -> Loaded:
    """Read and check the file as ``load_config`` does, and keep the places of settings."""
    return parse_located(read_config(path), str(path))


def parse_located(text: str, source: str) -> Loaded:
    """Check a configuration given as text, and keep the places of settings."""
    tree = parse_yaml(text)
    problems = list(tree.problems)
    config = check_value(tree.value, problems) if not problems else None
    if config is None:
        raise ConfigFault(source, tuple(tree.locate(problem) for problem in problems))
    return Loaded(config, tree)


def check_value(value: Any, problems: list[Problem]) -> Config | None:
    """Check a configuration given as a tree; where it has a fault, add all to ``problems``."""
    problems.extend(text_problems(value))
    config = convert(value, Config, problems)
    if config is None or problems:
        return None
    problems.extend(cross_check(config))
    return None if problems else config
