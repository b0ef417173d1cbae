"""``sidecar envoy init``: Envoy's file for a configuration of the sidecar that is there."""

import argparse
from pathlib import Path

from sidecar.cli.arguments import add_settings_file, port_number
from sidecar.cli.envoy_file import EnvoyChoices, envoy_text
from sidecar.cli.files import write_text
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.common.errors import Fault
from sidecar.config.base import Address
from sidecar.config.convert import convert
from sidecar.config.load import load_config
from sidecar.config.network import is_address
from sidecar.config.problem import Problem

EXIT_OK = 0
ENVOY = "envoy.yaml"


def add_init(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``init`` to the commands of ``envoy``."""
    init = commands.add_parser(
        "init",
        help="write an Envoy file for a configuration of the sidecar",
        description="Write the whole Envoy file that a configuration of the sidecar needs. It has "
        "listeners with TLS from the sidecar, Checks of every worker, the headers that decisions "
        "read, bodies of modules and logins, and the removal of every trusted name. Security "
        "headers on Envoy's own replies, an access log with decision ids, certificates on demand, "
        "the decision cache and reports are in it too. `sidecar envoy lint` finds nothing in it. "
        "No file is replaced without --force.",
    )
    add_settings_file(init)
    init.add_argument(
        "--output", type=Path, default=Path(ENVOY), metavar="FILE",
        help="where to (default: %(default)s)",
    )  # fmt: skip
    add_edge_options(init)
    for name, words in (
        ("--certificate", "which of certificates the listener shows, where there are several"),
        ("--trust-bundle", "which of trust_bundles says whose client certificates are believed"),
    ):
        init.add_argument(name, default="", metavar="NAME", help=words)
    for name, words in (
        ("--certificate-file", "without listen.sds: the listener's certificates, a PEM file"),
        ("--key-file", "and their key"),
        ("--client-ca-file", "and the CAs of clients, where routes ask for certificates"),
    ):
        init.add_argument(name, default="", metavar="PATH", help=words)
    init.add_argument("--force", action="store_true", help="replace a file that is there")
    add_json(init, "the file that was written,")
    init.set_defaults(run=_init)


def add_edge_options(parser: argparse.ArgumentParser) -> None:
    """Add what the sidecar's settings do not say of its Envoy."""
    for name, default, words in (
        ("--application", "127.0.0.1:3000", "where Envoy sends what is allowed"),
        ("--listen", "127.0.0.1", "the address on which Envoy listens; 0.0.0.0 for all"),
    ):
        parser.add_argument(
            name, default=default, metavar="VALUE", help=f"{words} (default: %(default)s)"
        )
    for name, number, words in (
        ("--http-port", 8080, "Envoy's port that redirects"),
        ("--https-port", 8443, "Envoy's port for TLS"),
        ("--envoy-admin-port", 9901, "Envoy's own admin port, on loopback"),
    ):
        parser.add_argument(
            name, type=port_number, default=number, metavar="N",
            help=f"{words} (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--public-port",
        type=port_number,
        metavar="N",
        help="the port that clients use for TLS, where another is in front (default: --https-port)",
    )


def choices_of(options: argparse.Namespace) -> EnvoyChoices:
    """Return the choices. Raises ``Fault`` for an address that is none."""
    if not is_address(options.listen):
        raise Fault(f"--listen {options.listen!r} must be an IP address")
    found: list[Problem] = []
    convert(options.application, Address, found)
    if found:
        raise Fault(f"--application {options.application!r} {found[0].message}")
    return EnvoyChoices(
        options.application,
        options.listen,
        options.http_port,
        options.https_port,
        options.public_port or options.https_port,
        options.envoy_admin_port,
    )


def _init(options: argparse.Namespace) -> int:
    choices = choices_of(options)._replace(
        certificate=options.certificate,
        trust_bundle=options.trust_bundle,
        certificate_file=options.certificate_file,
        key_file=options.key_file,
        client_ca_file=options.client_ca_file,
    )
    config = load_config(options.file)
    write_text(
        options.output, envoy_text(config, choices, str(options.file)), replace=options.force
    )
    if options.json:
        print_json({"file": str(options.output)})
        return EXIT_OK
    print(f"written: {options.output}")
    print_aside(f"then: envoy -c {options.output}")
    print_aside(f"after changes: sidecar envoy lint {options.output} --config {options.file}")
    return EXIT_OK
