"""``sidecar vault``: the policy that a configuration needs, what it needs besides, and backups."""

import argparse

from sidecar.cli import vault_backup
from sidecar.cli.arguments import add_config
from sidecar.cli.output import add_json, print_json
from sidecar.cli.vault_setup import add_setup
from sidecar.config.load import load_config
from sidecar.doctor.needs import doctor_needs, needs_of, revoking_needs
from sidecar.doctor.policy import policy_document, policy_hcl, policy_of
from sidecar.vault_backup.places import backup_needs, restore_needs

EXIT_OK = 0
_MORE = {"certs-revoke": revoking_needs, "doctor": doctor_needs}
"""What an operator's command needs of the sidecar's login, besides what serving needs."""
_FOR = {"serving": needs_of, "backup": backup_needs, "restore": restore_needs}
"""Who the policy is for: the sidecar, or the tokens of two commands, which need nothing of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``vault``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    policy = subcommands.add_parser(
        "policy",
        help="print the policy that a configuration needs",
        description="Print the policy of Vault or OpenBao that these settings need, and nothing "
        "beyond: a line for each path, with a comment that names the setting. Nothing is asked of "
        "Vault. Write it with `vault policy write NAME FILE`.",
    )
    add_config(policy)
    policy.add_argument(
        "--with",
        dest="more",
        action="append",
        default=[],
        choices=sorted(_MORE),
        help="add what this command needs of the sidecar's login; repeat it for the other",
    )
    policy.add_argument(
        "--for",
        dest="whom",
        choices=tuple(_FOR),
        default="serving",
        help="the sidecar (default), or a token for `vault backup` or `vault restore` alone",
    )
    add_json(policy, "the policy, and the lines with their settings,")
    policy.set_defaults(run=_policy)
    add_setup(subcommands)
    vault_backup.add_commands(subcommands)


def _policy(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    more = (need for name in dict.fromkeys(options.more) for need in _MORE[name](config))
    lines = policy_of((*_FOR[options.whom](config), *more))
    namespace = config.vault.namespace
    if options.json:
        print_json(policy_document(lines, namespace))
    else:
        print(policy_hcl(lines, namespace), end="")
    return EXIT_OK
