"""The blocks of code in the documents, each with its kind and what is said about it.

A test runs each block by its kind. A comment on the line before a block's fence says otherwise:
``<!-- not run: REASON -->`` where nothing here can run it, ``<!-- run by: FILE -->`` where another
test has it. What a fragment of YAML is a fragment of is told by its keys, or by a comment in its
first line, as a reader is told: ``# clusters[name: sidecar_authz]``.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import yaml
from markdown_it import MarkdownIt

from sidecar.config.model import Config

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md", "CONTRIBUTING.md", "envoy/README.md", "workload/README.md", "bench/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)  # fmt: skip
"""Every page; decisions are records, and stay as they were."""
SETTINGS = frozenset(field.encode_name for field in msgspec.structs.fields(Config))
_MARK = re.compile(r"\s*<!-- (not run|run by): (.+) -->")
_CHART = yaml.safe_load((ROOT / "deploy/kubernetes/chart/values.yaml").read_text())


class Kind(StrEnum):
    """What a block is, and so what runs it."""

    COMMANDS = "commands"
    SETTINGS = "settings of the sidecar"
    ISSUER = "an entry of tokens.issuers"
    ENVOY = "Envoy's configuration"
    CHART = "values of the chart"
    PROMETHEUS = "Prometheus's configuration"
    CASE = "a case of `sidecar check`"
    POLICY = "a policy of Vault"
    PYTHON = "python"
    JSON = "json"
    UNIT = "a part of a systemd unit"
    DIAGRAM = "a diagram made from code"
    SHOWN = "a picture, a format or an output"


class Block(NamedTuple):
    """One block of a page."""

    page: str
    line: int
    section: str
    """The heading above it."""
    language: str
    text: str
    is_fenced: bool
    not_run: str
    """The reason why nothing runs it, or an empty text."""
    run_by: str
    """Another test that has it, or an empty text."""

    @property
    def name(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.page}:{self.line}"


_BY_LANGUAGE = {
    "sh": Kind.COMMANDS,
    "console": Kind.COMMANDS,
    "hcl": Kind.POLICY,
    "python": Kind.PYTHON,
    "json": Kind.JSON,
    "diff": Kind.SHOWN,
    "ini": Kind.UNIT,
    "mermaid": Kind.DIAGRAM,
    "text": Kind.SHOWN,
}
_ENVOYS = ("# clusters", "# http_filters", "# HttpConnectionManager", "# filter_chains")


def kind_of(block: Block) -> Kind | None:
    """Return what runs it; ``None`` where nothing does."""
    if block.language != "yaml":
        return _BY_LANGUAGE.get(block.language)
    if block.text.startswith(_ENVOYS):
        return Kind.ENVOY
    if block.text.startswith("# tokens.issuers[]"):
        return Kind.ISSUER
    return _kind_of_yaml(yaml.safe_load(block.text))


def _kind_of_yaml(value: object) -> Kind | None:
    if isinstance(value, list):
        is_issuer = all(isinstance(each, dict) and "audiences" in each for each in value)
        return Kind.ISSUER if is_issuer else None
    if not isinstance(value, dict) or not value:
        return None
    keys = set(value)
    for kind, of_it in (
        (Kind.SETTINGS, SETTINGS),
        (Kind.CHART, set(_CHART)),
        (Kind.PROMETHEUS, {"scrape_configs"}),
        (Kind.CASE, {"request", "token", "expect", "name"}),
    ):
        if keys <= of_it:
            return kind
    return None


def blocks_of(page: str, text: str) -> list[Block]:
    """Return the blocks of a page in their order, indented ones too."""
    lines = text.splitlines()
    found: list[Block] = []
    section = ""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            section = following.content
        if token.type not in {"fence", "code_block"} or token.map is None:
            continue
        first = token.map[0]
        said = _MARK.fullmatch(lines[first - 1]) if first else None
        found.append(
            Block(
                page=page,
                line=first + 1,
                section=section,
                language=token.info.strip(),
                text=token.content,
                is_fenced=token.type == "fence",
                not_run=said[2] if said and said[1] == "not run" else "",
                run_by=said[2] if said and said[1] == "run by" else "",
            )
        )
    return found


def every_block() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in blocks_of(page, (ROOT / page).read_text())]


BLOCKS = every_block()


def of_kind(*kinds: Kind) -> pytest.MarkDecorator:
    """Run a test for each block of these kinds that is not said to be run elsewhere or not."""
    found = [block for block in BLOCKS if kind_of(block) in kinds and not_marked(block)]
    assert found, kinds
    return pytest.mark.parametrize("block", found, ids=[block.name for block in found])


def not_marked(block: Block) -> bool:
    """Whether it is to be run by its kind."""
    return not block.not_run and not block.run_by
