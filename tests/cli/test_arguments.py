"""Arguments that several commands take: their types, and one wording for one meaning."""

import argparse
import re

import pytest

from sidecar.cli.arguments import time_argument
from tests.cli.table import leaves

TIMES = [
    ("0", 0.0),
    ("1790000000.5", 1_790_000_000.5),
    ("2026-01-01T00:00:00Z", 1_767_225_600.0),
    ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
    ("2026-01-01", 1_767_225_600.0),
]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_times(text: str, seconds: float) -> None:
    assert time_argument(text) == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "tomorrow", "", "253402300800"])
def test_no_times(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither RFC 3339"):
        time_argument(text)


SETTINGS = "the sidecar's settings (YAML)"
ADMIN_OF = "read the admin port from these settings"
OWN_MEANINGS = {
    ("replay", "--config"): "the configuration to decide by",
    ("envoy lint", "--config"): f"{SETTINGS[:-7]}: read both together",
    ("module verify", "--config"): "read modules.max_bundle_bytes from this file",
    ("token verify", "--config"): "read issuers, audiences and limits from here",
    ("token mint", "--config"): "sign as the issuer's algorithms and claims are configured here",
    ("config init", "--token-file"): "the file with Vault's token, kept by a Vault agent",
}
"""Commands that take something else by a shared name, and the beginning of their words."""
WORDINGS = {
    "--config": f"{re.escape(SETTINGS)}|{ADMIN_OF}",
    "--token-file": r"a file with a Vault token of your own that may .+ \(default: "
    r"~/\.vault-token, where `vault login` and `bao login` put it\)",
    "file": re.escape(SETTINGS),
}


@pytest.mark.parametrize("name", WORDINGS)
def test_what_means_the_same_has_the_same_words(name: str) -> None:
    found = 0
    for leaf in leaves():
        for action in leaf.parser._actions:
            if name not in (
                *action.option_strings,
                action.dest if not action.option_strings else "",
            ):
                continue
            found += 1
            own = OWN_MEANINGS.get((leaf.words, name))
            if own is None:
                assert re.fullmatch(WORDINGS[name], action.help or ""), (leaf.words, action.help)
            else:
                assert (action.help or "").startswith(own), (leaf.words, action.help)
    assert found > 3
