"""``sidecar envoy``: Envoy's own configuration, written for the sidecar's and looked through."""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.cli.envoy_init import add_init
from sidecar.cli.files import read_text
from sidecar.cli.output import add_json, print_json
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import plural, printable
from sidecar.config.load import load_config
from sidecar.config.model import Config
from sidecar.config.yamltree import YamlTree, parse_yaml
from sidecar.envoy_lint.finding import RuleFinding, RuleSeverity
from sidecar.envoy_lint.lint import RULES, lint

EXIT_OK, EXIT_FOUND = 0, 1
MAX_DUMP_BYTES = 67_108_864
"""Of one file: a running Envoy's dump has every listener, cluster and route of its xDS."""
_STDIN = "-"
_API = "api"


class EnvoyFile(NamedTuple):
    """One configuration: its value, and the lines of a YAML file."""

    value: Any
    tree: YamlTree | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``envoy``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = subcommands.add_parser(
        "lint",
        help="what is wrong in an Envoy configuration",
        description="Read Envoy configurations (bootstrap or xDS files in YAML or JSON, or a "
        "running Envoy's: curl -s http://127.0.0.1:9901/config_dump | sidecar envoy lint -). It "
        "names what lets requests through, around or past the sidecar, each with its place, the "
        "reason and what to write. With --config also what does not fit the sidecar's own file. "
        "Exit 1 for an error, with --strict for a warning too.",
    )
    run.add_argument("files", nargs="+", metavar="FILE", help="or - for standard input")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help="the sidecar's settings: read both together"
    )
    run.add_argument("--strict", action="store_true", help="exit 1 for a warning too")
    run.add_argument(
        "--ignore", action="append", default=[], metavar="RULE", help="leave out a rule; repeatable"
    )
    add_json(run, "the findings")
    run.set_defaults(run=_lint)
    add_init(subcommands)
    rules = subcommands.add_parser(
        "rules", help="every rule of lint: what happens, and what to write",
        description="List every rule of `sidecar envoy lint`.",
    )  # fmt: skip
    add_json(rules, "the rules")
    rules.set_defaults(run=_rules)


def _rules(options: argparse.Namespace) -> int:
    rows = [
        {
            "rule": rule.identifier,
            "severity": rule.severity,
            "reason": rule.reason,
            "mend": rule.mend,
        }
        for rule in RULES
    ]
    if options.json:
        print_json(rows)
        return EXIT_OK
    for row in rows:
        print(f"{row['rule']} ({row['severity']})")
        print(f"  {row['reason']}")
        print(f"  write: {row['mend']}")
    return EXIT_OK


def _lint(options: argparse.Namespace) -> int:
    known = {rule.identifier for rule in RULES} | {_API}
    if unknown := sorted(set(options.ignore) - known):
        raise Fault(f"--ignore {unknown[0]}: there is no such rule; `sidecar envoy rules` has all")
    config = None if options.config is None else load_config(options.config)
    found = [
        row
        for name in options.files
        for row in lint_file(name, config)
        if row["rule"] not in options.ignore
    ]
    if options.json:
        print_json(found)
    else:
        _show(found, options.files)
    failing = {RuleSeverity.ERROR, RuleSeverity.WARNING} if options.strict else {RuleSeverity.ERROR}
    return EXIT_FOUND if any(row["severity"] in failing for row in found) else EXIT_OK


def lint_file(name: str, config: Config | None) -> list[dict[str, Any]]:
    """Return the findings of one file as rows. Raises ``Fault`` where it can't be read."""
    document = _read(name)
    messages = import_module("sidecar.cli.envoy_messages")  # its packages: for this alone
    rows = [
        {"file": name, "line": None, "path": "", "rule": _API, "severity": RuleSeverity.ERROR}
        | {"message": text, "reason": "Envoy does not take it.", "mend": "See Envoy's API."}
        for text in messages.message_problems(document.value)
    ]
    return rows + [_row(name, each) for each in lint(document.value, config, document.tree)]


def _row(name: str, finding: RuleFinding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "file": name,
        "line": finding.line,
        "path": finding.path,
        "rule": rule.identifier,
        "severity": rule.severity,
        "message": finding.message,
        "reason": rule.reason,
        "mend": rule.mend,
    }


def _read(name: str) -> EnvoyFile:
    text = _text_of(name)
    if text.lstrip()[:1] == "{" and (found := _json_of(text)) is not None:
        return found
    tree = parse_yaml(text, of_envoy=True)
    if tree.problems:
        raise ConfigFault(name, tuple(map(tree.locate, tree.problems)))
    return EnvoyFile(tree.value, tree)


def _text_of(name: str) -> str:
    if name != _STDIN:
        return read_text(Path(name), MAX_DUMP_BYTES)
    raw = sys.stdin.buffer.read(MAX_DUMP_BYTES + 1)
    if len(raw) > MAX_DUMP_BYTES:
        raise Fault(f"standard input is larger than {MAX_DUMP_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("standard input is not UTF-8 text") from None


def _json_of(text: str) -> EnvoyFile | None:
    """Return a JSON document, without lines; ``None`` for what may be YAML all the same."""
    try:
        return EnvoyFile(json.loads(text), None)
    except (ValueError, RecursionError):
        return None


def _show(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    told: set[str] = set()
    for row in rows:
        where = f"{row['file']}:{row['line']}" if row["line"] else row["file"]
        path = f" ({row['path']})" if row["path"] and not row["line"] else ""
        print(printable(f"{where}: {row['severity']} {row['rule']}: {row['message']}{path}"))
        if row["rule"] not in told:
            told.add(row["rule"])
            print(f"    why: {row['reason']}")
            print(f"    write: {row['mend']}")
    errors = sum(row["severity"] == RuleSeverity.ERROR for row in rows)
    warnings = len(rows) - errors
    if rows:
        print(f"{plural(errors, 'error')}, {plural(warnings, 'warning')}")
    else:
        print(printable(f"{', '.join(names)}: nothing found by {len(RULES)} rules"))
