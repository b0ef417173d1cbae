"""``sidecar csp check`` lints policies; ``sidecar csp suggest`` turns reports into a change."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.cli.arguments import add_config
from sidecar.cli.csp_suggest import add_suggest
from sidecar.common.printable import printable
from sidecar.config.load import load_config
from sidecar.config.model import Config, Headers
from sidecar.csp.language.overlay import apply_overlay
from sidecar.csp.lint.finding import LintSeverity, worst
from sidecar.csp.lint.header import read_header
from sidecar.csp.lint.lint import Placed, lint_profile
from sidecar.headers.compile import csp_policies

EXIT_OK, EXIT_FOUND = 0, 1
_SEVERITIES = ("high", "medium", "low", "info")
MAX_LINE = 65_536
_COLUMNS = ("severity", "policy", "directive", "source", "rule", "message")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``csp``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = subcommands.add_parser(
        "check",
        help="lint policies",
        description="Lint Content-Security-Policies against known bypasses and against themselves: "
        "those of a configuration as they are sent, a header's value, or the built-in profiles. "
        "Exit 1 if a finding is at least as bad as --fail-on.",
    )
    what = check.add_mutually_exclusive_group()
    add_config(what, required=False)
    what.add_argument(
        "--policy", metavar="TEXT", help="the value of a Content-Security-Policy header"
    )
    check.add_argument(
        "--fail-on",
        choices=_SEVERITIES,
        default="medium",
        help="the lowest severity that is a failure (default: %(default)s)",
    )
    check.add_argument("--json", action="store_true", help="findings as JSON")
    check.set_defaults(run=_check)
    add_suggest(subcommands)


def _check(options: argparse.Namespace) -> int:
    if options.policy is not None:
        found = list(_of_header(options.policy))
    else:
        found = list(_of_config(options.config))
    if options.json:
        print(json.dumps([_row(where, placed) for where, placed in found], indent=2))
    else:
        _show(found)
    highest = worst(placed.finding for _, placed in found)
    failing = highest is not None and highest >= LintSeverity[options.fail_on.upper()]
    return EXIT_FOUND if failing else EXIT_OK


def _of_header(text: str) -> Iterator[tuple[str, Placed]]:
    policies, wrong = read_header(text)
    for finding in wrong:
        yield "header", Placed("", None, finding)
    # The endpoints are in another header.
    named = [p.directives["report-to"].values[0] for p in policies if "report-to" in p.directives]
    for placed in lint_profile(policies, endpoint=named[0] if named else None):
        yield "header", placed


def _of_config(path: Path | None) -> Iterator[tuple[str, Placed]]:
    config = None if path is None else load_config(path)
    headers = Headers() if config is None else config.headers
    group = None if headers.reports is None else headers.reports.group
    for name in headers.csp:
        enforced, report_only = csp_policies(headers, name)
        for placed in lint_profile(enforced, report_only, endpoint=group):
            yield f"headers.csp.{name}", placed
    if config is not None:
        yield from _of_tenants(config, group)


def _of_tenants(config: Config, group: str | None) -> Iterator[tuple[str, Placed]]:
    """Yield the findings that are worse on a tenant's pages than on the profile's."""
    for number, tenant in enumerate(config.tenants):
        for name, overlay in tenant.csp.items():
            enforced, report_only = csp_policies(config.headers, name)
            before = {
                placed.finding for placed in lint_profile(enforced, report_only, endpoint=group)
            }
            policies = (tuple(enforced), tuple(report_only))
            allowed = config.headers.csp[name].allow_additions
            made, _ = apply_overlay(policies, overlay, allowed, tenant.domain)
            for placed in lint_profile(*made, endpoint=group):
                if placed.finding not in before:
                    yield f"tenants[{number}].csp.{name}", placed


def _row(where: str, placed: Placed) -> dict[str, Any]:
    place = f".{placed.list_name}[{placed.number}]" if placed.list_name else ""
    finding = placed.finding
    return {
        "severity": finding.severity.word,
        "policy": where + place,
        "directive": finding.directive,
        "source": finding.source,
        "rule": finding.rule,
        "message": finding.message,
    }


def _show(found: list[tuple[str, Placed]]) -> None:
    rows = [_row(where, placed) for where, placed in found]
    rows.sort(key=lambda row: _SEVERITIES.index(row["severity"]))
    widths = [max([len(name), *(len(row[name]) for row in rows)]) for name in _COLUMNS]
    for cells in (dict(zip(_COLUMNS, _COLUMNS, strict=True)), *rows):
        line = "  ".join(cells[n].ljust(w) for n, w in zip(_COLUMNS, widths, strict=True))
        print(printable(line.rstrip(), MAX_LINE))
    counts = ", ".join(
        f"{sum(row['severity'] == severity for row in rows)} {severity}" for severity in _SEVERITIES
    )
    print(counts)
