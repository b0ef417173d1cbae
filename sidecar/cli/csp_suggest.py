"""``sidecar csp suggest``: reports in, a diff of the configuration out."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from sidecar.cli.admin_client import ask_admin
from sidecar.cli.arguments import add_config
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import printable
from sidecar.config.load import parse_config, read_config
from sidecar.config.model import Config
from sidecar.config.problem import Path as SettingPath
from sidecar.config.yamledit import add_entry, append_item, unified_diff
from sidecar.config.yamltree import parse_yaml
from sidecar.csp.reports.suggest import (
    Evidence,
    Suggestion,
    Thresholds,
    from_lines,
    from_table,
    lines_of,
    suggest,
)
from sidecar.headers.compile import csp_policies

EXIT_OK, EXIT_NOTHING = 0, 1
_HOUR = 3600.0


def add_suggest(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subcommands.add_parser(
        "suggest",
        help="turn reports into a proposed change",
        description="Turn violation reports into a change of the configuration, as a diff that "
        "patch takes, with the reason of every line. Only exact HTTPS origins are proposed. "
        "Anybody can send reports: read the diff before you apply it. Exit 1 if there is "
        "nothing to propose.",
    )
    add_config(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--reports", type=Path, metavar="FILE", help="forwarded reports (JSON lines), or -"
    )
    source.add_argument(
        "--admin",
        metavar="ADDRESS",
        help="the admin port to read reports from (default: the configuration's listen.admin)",
    )
    parser.add_argument("--profile", default="shell", help="(default: %(default)s)")
    parser.add_argument(
        "--last", type=float, metavar="HOURS", help="ignore reports that were last seen before that"
    )
    for name, default in (("reports", 20), ("documents", 2), ("clients", 3)):
        parser.add_argument(
            f"--min-{name}",
            type=int,
            default=default,
            metavar="N",
            help=f"propose nothing with fewer {name} (default: %(default)s)",
        )
    add_json(parser, "what is proposed and what is not, and the diff")
    parser.set_defaults(run=_suggest)


def _suggest(options: argparse.Namespace) -> int:
    text = read_config(options.config)
    config = parse_config(text, str(options.config))
    if options.profile not in config.headers.csp:
        raise Fault(
            f"headers.csp has no profile {options.profile!r}: use another (--profile) or add it"
        )
    suggestions, refused = suggest(
        _evidence(options, config),
        *csp_policies(config.headers, options.profile),
        Thresholds(options.min_reports, options.min_documents, options.min_clients),
        frozenset(tenant.domain for tenant in config.tenants),
    )
    lines = [
        f"not proposed: {each.evidence.blocked} for {each.evidence.directive}: {each.why}"
        for each in refused
    ]
    changed = text
    for each in suggestions:
        changed = _edit(changed, config, options.profile, each)
        where = f"headers.csp.{options.profile}.{each.list_name}[{each.number}].{each.directive}"
        lines.append(f"{where} += {each.source}: {each.evidence}")
    diff = _checked_diff(options, config, text, changed, suggestions) if changed != text else ""
    if options.json:
        print_json({"reasons": lines, "diff": diff})
        return EXIT_OK if diff else EXIT_NOTHING
    for line in lines:
        print(printable(f"# {line}"))
    if not diff:
        print_aside("nothing to propose")
        return EXIT_NOTHING
    sys.stdout.write(diff)
    return EXIT_OK


def _checked_diff(
    options: argparse.Namespace,
    config: Config,
    text: str,
    changed: str,
    suggestions: Sequence[Suggestion],
) -> str:
    """Return the change as a patch, once it is known to load and to add these sources alone."""
    try:
        after = parse_config(changed, str(options.config))
    except ConfigFault as fault:
        raise Fault(f"the change would not load: {fault.problems[0]}") from fault
    _check_only_added(config, after, options.profile, suggestions)
    return unified_diff(text, changed, str(options.config))


def _evidence(options: argparse.Namespace, config: Config) -> list[Evidence]:
    since = 0.0 if options.last is None else wall_seconds() - options.last * _HOUR
    if options.reports is None:
        address = options.admin or config.listen.admin.address
        absent = f"the sidecar on {address} collects no reports: configure headers.reports there"
        return from_table(ask_admin(address, "GET", "/csp/reports", absent=absent), since)
    if str(options.reports) == "-":
        return from_lines(lines_of(sys.stdin.buffer), since)
    try:
        with options.reports.open("rb") as file:
            return from_lines(lines_of(file), since)
    except OSError as exc:
        raise Fault(f"{options.reports} cannot be read: {exc.strerror}") from exc


def _edit(text: str, config: Config, profile: str, suggestion: Suggestion) -> str:
    csp: SettingPath = ("headers", "csp")
    written = parse_yaml(text).value
    if profile not in (written.get("headers") or {}).get("csp", {}):
        # A built-in profile must be written into the file before it can be changed.
        text = add_entry(text, csp, profile, _profile_lines(config, profile))
    path = (*csp, profile, suggestion.list_name, suggestion.number)
    policy = getattr(config.headers.csp[profile], suggestion.list_name)[suggestion.number]
    written = parse_yaml(text).value["headers"]["csp"][profile]
    if suggestion.directive in written[suggestion.list_name][suggestion.number]:
        return append_item(text, (*path, suggestion.directive), suggestion.source)
    before = [value for value in policy.get("default-src", ()) if value != "'none'"]
    return add_entry(text, path, suggestion.directive, [_flow([*before, suggestion.source])])


def _profile_lines(config: Config, name: str) -> list[str]:
    """Return a built-in profile as lines of YAML: its policies; all else is the default."""
    profile = config.headers.csp[name]
    lines: list[str] = []
    for list_name in ("enforced", "report_only"):
        policies: Sequence[Mapping[str, Sequence[str]]] = getattr(profile, list_name)
        if policies:
            lines.append(f"{list_name}:")
        for policy in policies:
            marks = ("  - ", *("    " for _ in range(len(policy))))
            lines += (
                f"{mark}{directive}: {_flow(values)}"
                for mark, (directive, values) in zip(marks, policy.items(), strict=False)
            )
    return lines


def _flow(values: Sequence[str]) -> str:
    shown = (
        f'"{value}"' if set(value) & set("'{}*") or value.endswith(":") else value
        for value in values
    )
    return f"[{', '.join(shown)}]"


def _check_only_added(
    before: Config, after: Config, profile: str, suggestions: Sequence[Suggestion]
) -> None:
    """Check that the changed file adds these sources and nothing else; raise ``Fault``."""
    wanted: dict[str, list[dict[str, tuple[str, ...]]]] = {
        name: [dict(policy) for policy in getattr(before.headers.csp[profile], name)]
        for name in ("enforced", "report_only")
    }
    for each in suggestions:
        policy = wanted[each.list_name][each.number]
        base = policy.get(each.directive)
        if base is None:
            base = tuple(v for v in policy.get("default-src", ()) if v != "'none'")
        policy[each.directive] = (*base, each.source)
    meant = replace(
        before.headers.csp[profile],
        enforced=tuple(wanted["enforced"]),
        report_only=tuple(wanted["report_only"]),
    )
    csp = {**before.headers.csp, profile: meant}
    if after != replace(before, headers=replace(before.headers, csp=csp)):
        raise Fault(
            "the YAML of the file has a form that can't be edited safely: no change is "
            "proposed; add the sources by hand"
        )
