"""The rules of the audit trail."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config.load import parse_config
from tests.config.documents import MINIMAL

FILE = "audit: {to: {sink: file, path: /var/log/a.jsonl}, checkpoints: {key: audit, file: %s}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("audit: {chain: false, checkpoints: {key: audit}}\n", "audit.chain must be true"),
        (FILE % "/var/log/a.jsonl", "must not be audit.to.path"),
        (FILE % "/var/log/x/../a.jsonl", "must not be audit.to.path"),
        ("audit: {checkpoints: {key: a/b}}\n", "a name in Vault"),
    ],
)
def test_what_can_t_be(text: str, problem: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        parse_config(MINIMAL + text, "test")
    assert problem in "".join(caught.value.problems)


def test_what_can() -> None:
    for text in ("audit: {chain: false}\n", FILE % "/mnt/kept"):
        parse_config(MINIMAL + text, "test")
