"""Policies of Vault: those of the documents, and each of them with less."""

import re
from pathlib import Path
from typing import NamedTuple

_DOCS = Path(__file__).parents[2] / "docs"
_LINE = re.compile(r'path "(?P<path>[^"]+)"\s*\{ capabilities = \[(?P<names>[^]]*)\]')

FLEET_POLICY = """\
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["create", "read", "update"] }
path "secret/data/septem/acme/*"             { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/acme/*"         { capabilities = ["create", "read", "update"] }
path "secret/data/septem/dns/*"              { capabilities = ["read"] }
path "secret/data/septem/acme-dns/*"         { capabilities = ["read"] }
path "secret/data/septem/tls/*"              { capabilities = ["read"] }
path "secret/metadata/septem/tls/*"          { capabilities = ["read"] }
"""
"""What a fleet shares, as docs/certificates.md has it."""


class LessPolicy(NamedTuple):
    """A policy that lacks one capability, and which one."""

    lacks: str
    text: str


def documented(page: str, words: str) -> str:
    """Return the policy of ``docs/<page>`` with these words in it: the whole block."""
    text = (_DOCS / page).read_text()
    blocks: list[str] = re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)
    (found,) = (each for each in blocks if words in each)
    return found


def each_capability_less(policy: str) -> list[LessPolicy]:
    """Return the policy without each of its capabilities in turn: a line with none denies."""
    less = []
    for line in _LINE.finditer(policy):
        names = re.findall(r"\w+", line["names"])
        for name in names:
            left = ", ".join(f'"{each}"' for each in names if each != name)
            begin, end = line.span("names")
            less.append(
                LessPolicy(f"{name} on {line['path']}", f"{policy[:begin]}{left}{policy[end:]}")
            )
    return less
