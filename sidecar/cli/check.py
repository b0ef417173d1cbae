"""``sidecar check``: evaluates requests against a policy, without a server."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli.arguments import add_config
from sidecar.cli.cases import Case, Expectation, Result, load_case, load_suites, problems_of
from sidecar.cli.files import read_text
from sidecar.cli.output import add_json, print_json
from sidecar.cli.policy_evaluator import PolicyEvaluator
from sidecar.cli.token import add_key_options, read_revocation_file
from sidecar.cli.token_evaluator import keys_of
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.config.load import load_config

EXIT_OK, EXIT_WRONG = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``check``."""
    parser.description = (
        "Evaluate one request against a configuration and print the decision, the "
        "headers and each step's result as JSON. Exit 0 if every expectation of it holds, or, "
        "where it has none, if it is allowed. Or run a folder of cases and exit 0 only if "
        "every expectation holds. Nothing is started, and nothing is sent over the network."
    )
    add_config(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--request", type=Path, metavar="FILE", help="one case (JSON or YAML)")
    what.add_argument("--cases", type=Path, metavar="DIR", help="files of cases with expectations")
    parser.add_argument(
        "--jwks", type=Path, metavar="FILE", help="keys for real tokens in a request's headers"
    )
    add_key_options(parser)
    add_json(parser, "the decision (always), or the cases that failed")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    keys = keys_of(read_text(options.jwks), config, options.issuer) if options.jwks else ()
    evaluator = PolicyEvaluator(config, keys, read_revocation_file(options.revocations))
    if options.request:
        return _run_request(evaluator, load_case(options.request))
    return _run_cases(evaluator, options.cases, as_json=options.json)


def _run_request(evaluator: PolicyEvaluator, case: Case) -> int:
    result = evaluator.evaluate(case, wall_seconds())
    shown = _builtins(result)
    if case.expect == Expectation():
        print_json(shown)
        return EXIT_OK if result.allowed else EXIT_WRONG
    problems = list(problems_of(case, result))
    print_json({**shown, "problems": problems})
    return EXIT_WRONG if problems else EXIT_OK


def _builtins(result: Result) -> dict[str, Any]:
    steps = [step._asdict() for step in result.steps]
    return {**msgspec.to_builtins(result), "steps": steps}


def _run_cases(evaluator: PolicyEvaluator, folder: Path, *, as_json: bool) -> int:
    if not folder.is_dir():
        raise Fault(f"{folder} is not a folder")
    passed = 0
    failures = []
    for path, suite in load_suites(folder):
        for case in suite.cases:
            result = evaluator.evaluate(case, wall_seconds())
            problems = list(problems_of(case, result))
            if not problems:
                passed += 1
                continue
            failures.append({"file": path.name, "problems": problems, **_builtins(result)})
            if not as_json:
                _show_failure(path, case, result, problems)
    if as_json:
        print_json({"passed": passed, "failed": len(failures), "failures": failures})
    else:
        print(f"{passed} passed, {len(failures)} failed")
    return EXIT_WRONG if failures else EXIT_OK


def _show_failure(path: Path, case: Case, result: Result, problems: Iterable[str]) -> None:
    print(printable(f"FAILED {path.name}: {case.name}"))
    for problem in problems:
        print(f"    {printable(problem)}")
    for step in result.steps:
        mark = "ok " if step.held else "NO "
        print(f"    {mark} {printable(f'{step.step}: {step.detail}')}")
