"""Runs every rule over one Envoy configuration."""

from collections.abc import Iterator
from typing import Any

from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem, show_path
from sidecar.config.yamltree import YamlTree
from sidecar.envoy_lint import (
    rules_answers,
    rules_around,
    rules_check,
    rules_clusters,
    rules_exposure,
    rules_filters,
    rules_pair,
    rules_requests,
)
from sidecar.envoy_lint.document import EnvoyDocument
from sidecar.envoy_lint.finding import Inspected, Rule, RuleFinding, RuleSeverity
from sidecar.envoy_lint.node import Node

MAX_FINDINGS_OF_A_RULE = 20
"""Places that are listed for one rule; a file of thousands of routes would bury the others."""


def _no_check(inspected: Inspected) -> Iterator[tuple[Node, str]]:
    if inspected.envoy.is_empty:
        yield inspected.envoy.root, "there are no listeners, no clusters and no admin port in it"
        return
    if any(each.leads_somewhere for each in inspected.envoy.checked):
        return
    for each in inspected.envoy.managers:
        if any(route.clusters for route in each.routes()):
            yield each.node["http_filters"], f"{each.name} leads to an application without a Check"


RULES: tuple[Rule, ...] = (
    Rule(
        "no-check", RuleSeverity.ERROR,
        "Nothing is decided: every request reaches the application.",
        "envoy.filters.http.ext_authz in http_filters, as in envoy/edge.yaml",
        _no_check,
    ),
    *rules_check.RULES,
    *rules_around.RULES,
    *rules_filters.RULES,
    *rules_requests.RULES,
    *rules_exposure.RULES,
    *rules_answers.RULES,
    *rules_clusters.RULES,
    *rules_pair.RULES,
)  # fmt: skip
"""Every rule, in the order of the documentation."""


def lint(
    document: Any, sidecar: Config | None = None, tree: YamlTree | None = None
) -> list[RuleFinding]:
    """Return what is wrong with an Envoy configuration, errors first, then by place.

    ``document`` is what its YAML or JSON gave: a bootstrap, resources for xDS, or the answer to
    ``/config_dump``. With ``sidecar`` both files are read together; ``tree`` knows the lines.
    """
    inspected = Inspected(EnvoyDocument(Node(document)), sidecar)
    findings: list[RuleFinding] = []
    for rule in RULES:
        seen: set[tuple[Path, str]] = set()
        for node, message in rule.find(inspected):
            if (node.path, message) in seen or len(seen) >= MAX_FINDINGS_OF_A_RULE:
                continue
            seen.add((node.path, message))
            located = None if tree is None else tree.locate(Problem(node.path, message))
            line = None if located is None else located.line
            findings.append(RuleFinding(rule, show_path(node.path), line, message))
    findings.sort(key=lambda each: (each.rule.severity is not RuleSeverity.ERROR, each.line or 0))
    return findings
