"""What a rule is, and what it finds."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from sidecar.config.model import Config
from sidecar.envoy_lint.document import EnvoyDocument
from sidecar.envoy_lint.node import Node


class RuleSeverity(StrEnum):
    """``error``: requests or secrets are not safe, or are lost. ``warning``: often a mistake."""

    ERROR = "error"
    WARNING = "warning"


class Inspected(NamedTuple):
    """What rules look at: an Envoy configuration, and the sidecar's own if it was given."""

    envoy: EnvoyDocument
    sidecar: Config | None


Found = tuple[Node, str]
"""The part that is wrong, and a sentence that says what it says now."""


class Rule(NamedTuple):
    """One rule, with what a person needs who has never heard of it."""

    identifier: str
    severity: RuleSeverity
    reason: str
    """What happens where it is broken."""
    mend: str
    """What to write."""
    find: Callable[[Inspected], Iterator[Found]]


class RuleFinding(NamedTuple):
    """One place where a rule is broken; ``line`` from 1, if the document has lines."""

    rule: Rule
    path: str
    line: int | None
    message: str
