"""Loads a YAML file into ``Config``, and reports every problem, not only the first.

Three passes, each pure: the text becomes a tree with line numbers and without repeated keys
(``yamltree``); the tree is checked against the types (``convert``); the whole is checked
against the rules that span settings (``rules``).
"""

from pathlib import Path

from sidecar.common.errors import ConfigFault
from sidecar.config.convert import convert
from sidecar.config.model import Config
from sidecar.config.rules import cross_check
from sidecar.config.yamltree import parse_yaml

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


def parse_config(text: str, source: str) -> Config:
    """Check a configuration given as text; ``source`` is its name in messages."""
    tree = parse_yaml(text)
    problems = list(tree.problems)
    config = convert(tree.value, Config, problems) if not problems else None
    if config is not None and not problems:
        problems.extend(cross_check(config))
    if config is None or problems:
        raise ConfigFault(source, tuple(tree.locate(problem) for problem in problems))
    return config
