"""``sidecar config envoy``: the headers that Envoy must remove, and whether it does."""

import argparse
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path

from sidecar.cli.arguments import add_settings_file
from sidecar.cli.files import read_text
from sidecar.cli.output import add_json, print_json
from sidecar.common.errors import ConfigFault, Fault
from sidecar.config.envoy_needs import REQUEST_ID_NEED, certificate_routes, needed_headers
from sidecar.config.load import MAX_FILE_BYTES, load_config
from sidecar.config.model import Config
from sidecar.config.overrides import PROOF_HEADERS
from sidecar.config.yamltree import parse_yaml
from sidecar.headers.envoy_check import problems_of, sending_problems, withholds_request_ids
from sidecar.headers.envoy_patterns import REQUEST_TRAILERS, request_names
from sidecar.headers.tenant import TRUSTED

EXIT_OK, EXIT_FOUND = 0, 1
_WIDTH, _LONGEST = 100, 120
_FILTER = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3"
NAMES_FILTER = "septem.request_names"
"""A ``header_mutation`` filter of its own, so that a route may turn it off."""
_NO_REQUEST_IDS = (
    f"ext_authz's allowed_headers do not name {{exact: {REQUEST_ID_NEED.header}}}: denials and "
    "audit lines are without the id by which Envoy's log and traces know a request"
)
Problems = list[str]


def add_envoy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``envoy`` to the commands of ``config``."""
    envoy = commands.add_parser(
        "envoy",
        help="what Envoy must remove from requests",
        description="Print the header_mutation filters that Envoy needs with this configuration: "
        "the trusted names, headers.remove_from_request and the override headers, without those "
        "that are kept, and what a route with keep_overrides needs. With --check, check an Envoy "
        "configuration instead. Exit 1 if it lets a name through that must not reach applications, "
        "or an upgrade that removes the sidecar's headers. Exit 1 too for a misspelt field or a "
        "value of a wrong type by Envoy's own API.",
    )
    add_settings_file(envoy)
    envoy.add_argument("--check", type=Path, metavar="ENVOY", help="an Envoy configuration (YAML)")
    add_json(envoy, "the lines, or the problems")
    envoy.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    config = load_config(options.file)
    if options.check is None:
        lines = "\n".join(fragment(config))
        if options.json:
            print_json({"yaml": lines})
        else:
            print(lines)
        return EXIT_OK
    problems, notes = check_file(config, options.check)
    if options.json:
        print_json({"file": str(options.check), "problems": problems, "notes": notes})
        return EXIT_FOUND if problems else EXIT_OK
    for problem in problems:
        print(f"{options.check}: {problem}")
    if not problems:
        print(f"{options.check}: removes every header that {options.file} requires")
    for note in notes:
        print(f"{options.check}: note: {note}")
    return EXIT_FOUND if problems else EXIT_OK


def check_file(config: Config, path: Path) -> tuple[Problems, Problems]:
    """Return what is wrong with an Envoy configuration, and what is only a pity.

    Wrong is what Envoy's own API does not take, and what would reach applications. Raises
    ``Fault`` if it can't be read, and ``ConfigFault`` with every problem of its YAML.
    """
    tree = parse_yaml(read_text(path, MAX_FILE_BYTES), of_envoy=True)
    if tree.problems:
        raise ConfigFault(str(path), tuple(map(tree.locate, tree.problems)))
    headers = config.headers
    by_routes = {name for route in config.routes for name in route.keep_overrides}
    removed, kept = headers.remove_from_request, headers.keep_overrides
    messages = import_module("sidecar.cli.envoy_messages")  # its packages: for --check alone
    try:
        misread = list(messages.message_problems(tree.value))
        found = misread + list(problems_of(tree.value, removed, kept, by_routes))
        found += sending_problems(tree.value, needed_headers(config), certificate_routes(config))
        return found, [_NO_REQUEST_IDS] if withholds_request_ids(tree.value) else []
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as exc:
        raise Fault(f"{path} is not a configuration that Envoy accepts: {exc!r}") from None


def fragment(config: Config) -> Iterator[str]:
    """Yield the lines of the two filters, and of the routes that keep something."""
    kept = config.headers.keep_overrides
    exact = [
        f"        - remove: {name}" for name in (*TRUSTED, *config.headers.remove_from_request)
    ]
    yield "# The first two of http_filters, as in envoy/edge.yaml. The pattern is longer than Envoy"
    yield "# takes by default: layered_runtime with re2.max_program_size.error_level: 4000."
    yield "- name: envoy.filters.http.header_mutation"
    yield "  typed_config:"
    yield f'    "@type": {_FILTER}.HeaderMutation'
    yield "    mutations:"
    yield "      request_mutations:"
    yield from exact
    yield "      request_trailers_mutations:"
    yield from exact
    yield from removal(8, request_names(kept))
    yield from removal(8, REQUEST_TRAILERS)
    yield f"- name: {NAMES_FILTER}"
    yield "  typed_config:"
    yield f'    "@type": {_FILTER}.HeaderMutation'
    yield "    mutations:"
    yield "      request_mutations:"
    yield from removal(8, request_names(kept))
    yield "# Among the patterns of ext_authz's allowed_headers, for denials and audit lines:"
    yield f"# - {{exact: {REQUEST_ID_NEED.header}}}"
    for route in config.routes:
        own = set(route.keep_overrides) - PROOF_HEADERS
        if own:
            yield ""
            yield from _route(route.name, {*kept, *own})


def _route(name: str, kept: Collection[str]) -> Iterator[str]:
    yield f"# In Envoy's route for {name}, which keeps {', '.join(sorted(kept))}:"
    yield "typed_per_filter_config:"
    yield from kept_filters(2, 0, kept)


def kept_filters(indent: int, outer: int, kept: Collection[str]) -> Iterator[str]:
    """Yield what a route has in ``typed_per_filter_config`` to keep override headers.

    ``outer`` is by how much all of it will be indented besides.
    """
    pad = " " * indent
    yield f"{pad}{NAMES_FILTER}:"
    yield f'{pad}  "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig'
    yield f"{pad}  disabled: true"
    yield f"{pad}envoy.filters.http.header_mutation:"
    yield f'{pad}  "@type": {_FILTER}.HeaderMutationPerRoute'
    yield f"{pad}  mutations:"
    yield f"{pad}    request_mutations:"
    for line in removal(outer + indent + 6, request_names(kept)):
        yield line[outer:]


def removal(indent: int, pattern: str) -> Iterator[str]:
    """Yield one mutation, its pattern broken into lines that YAML joins without a space."""
    pad = " " * indent
    start = f'{pad}- remove_on_match: {{key_matcher: {{safe_regex: {{regex: "'
    if len(start) + len(pattern) <= _LONGEST:
        yield f'{start}{pattern}"}}}}}}'
        return
    yield f"{pad}- remove_on_match:"
    yield f"{pad}    key_matcher:"
    yield f"{pad}      safe_regex:"
    yield f'{pad}        regex: "\\'
    line = f"{pad}          "
    for name in pattern.split("|"):
        if len(line) + len(name) + 2 > _WIDTH:
            yield line + "\\"
            line = f"{pad}          "
        line += f"{name}|"
    yield line.removesuffix("|") + '"'
