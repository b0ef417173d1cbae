"""``sidecar check`` evaluates requests against a policy; ``explain`` finds a decision's line."""

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli.token import add_key_options, read_revocation_file, read_text
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import printable

EXIT_OK, EXIT_WRONG = 0, 1
MAX_FIELDS, MAX_NAME = 64, 64


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``check`` and ``explain``."""
    check = commands.add_parser(
        "check",
        help="evaluate requests offline, or test a policy",
        description="Evaluate one request against a configuration and print the decision, the "
        "headers and each step's result as JSON; or run a folder of cases and exit 0 only if "
        "every expectation holds. Nothing is started, and nothing is sent over the network.",
    )
    check.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings (YAML)")
    what = check.add_mutually_exclusive_group(required=True)
    what.add_argument("--request", type=Path, metavar="FILE", help="one case (JSON or YAML)")
    what.add_argument("--cases", type=Path, metavar="DIR", help="files of cases with expectations")
    check.add_argument(
        "--jwks", type=Path, metavar="FILE", help="keys for real tokens in a request's headers"
    )
    add_key_options(check)
    check.set_defaults(run=_check)
    explain = commands.add_parser(
        "explain",
        help="find a decision in the audit log",
        description="Find the audit lines of a decision by the id a client was given.",
    )
    explain.add_argument(
        "id", metavar="ID", help="the decision id, with or without its urn: prefix"
    )
    explain.add_argument(
        "--audit", type=Path, required=True, metavar="FILE", help="the audit log; rotated ones too"
    )
    explain.set_defaults(run=_explain)


def _check(options: argparse.Namespace) -> int:
    from sidecar.cli.cases import load_case
    from sidecar.cli.policy_evaluator import PolicyEvaluator
    from sidecar.cli.token_evaluator import keys_of
    from sidecar.config import load_config

    config = load_config(options.config)
    keys = keys_of(read_text(options.jwks), config, options.issuer) if options.jwks else ()
    evaluator = PolicyEvaluator(config, keys, read_revocation_file(options.revocations))
    if options.request:
        result = evaluator.evaluate(load_case(options.request), wall_seconds())
        steps = [step._asdict() for step in result.steps]
        print(json.dumps({**msgspec.to_builtins(result), "steps": steps}, indent=2))
        return EXIT_OK if result.allowed else EXIT_WRONG
    return _run_cases(evaluator, options.cases)


def _run_cases(evaluator: Any, folder: Path) -> int:
    from sidecar.cli.cases import load_suites, problems_of

    if not folder.is_dir():
        raise Fault(f"{folder} is not a folder")
    passed = failed = 0
    for path, suite in load_suites(folder):
        for case in suite.cases:
            result = evaluator.evaluate(case, wall_seconds())
            problems = list(problems_of(case, result))
            passed, failed = passed + (not problems), failed + bool(problems)
            if problems:
                print(printable(f"FAILED {path.name}: {case.name}"))
                for problem in problems:
                    print(f"    {printable(problem)}")
                for step in result.steps:
                    mark = "ok " if step.held else "NO "
                    print(f"    {mark} {printable(f'{step.step}: {step.detail}')}")
    print(f"{passed} passed, {failed} failed")
    return EXIT_WRONG if failed else EXIT_OK


def _explain(options: argparse.Namespace) -> int:
    from sidecar.observability.audit.search import find_decision

    decision_id = options.id.rpartition(":")[2]
    found = False
    for path, entry in find_decision(options.audit, decision_id):
        found = True
        _show(path, decision_id, entry)
    if not found:
        message = f"no decision {decision_id} in {options.audit} or its rotated files"
        print(printable(message), file=sys.stderr)
        return EXIT_WRONG
    return EXIT_OK


def _show(path: Path, decision_id: str, entry: dict[str, Any]) -> None:
    """Print one line of the log, a field a line; its content is not trusted."""
    print(printable(f"decision {decision_id} ({path})"))
    for name, value in islice(entry.items(), MAX_FIELDS):
        if name != "decision_id":
            print(f"  {printable(name, MAX_NAME):14} {_value(value)}")
    if len(entry) > MAX_FIELDS:
        print(f"  {len(entry) - MAX_FIELDS} more fields are not shown")
    reason = printable(entry.get("reason", "?"), MAX_NAME)
    print(f"  {'what it means':14} docs/reasons.md, {reason}")


def _value(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return printable(", ".join(value))
    return printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())
