"""Environment variables that hold a secret, in manifests, images and units. Pure.

SECURITY-MODEL §8: no secret in a deployment's environment. Every child process gets a copy of it,
crash reports print it, and whoever may read the manifest reads the secret.
"""

import re
from collections.abc import Iterator

import yaml

from workload.secrets.scan.findings import Piece, SecretFinding, is_allowed_here

_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|(?:API|ACCESS|PRIVATE|"
    r"SECRET|SIGNING|ENCRYPTION|MASTER)_?KEY|CONNECTION_STRING)(?:_BASE64|_\d+)?$",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:(?P<password>[^/\s@]+)@", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"\s*$|\$|\{\{|<[^>]*>$|%[({]|/|(?:null|none|true|false|changeme|redacted|[x*.]+)$|"
    r"(?:vault|ref\+|arn|file|env):",
    re.IGNORECASE,
)
_DOCKER = re.compile(r"\s*(?:ENV|ARG)\s+(.*)", re.IGNORECASE)
_UNIT = re.compile(r"\s*Environment\s*=\s*(.*)")
_ASSIGNED = re.compile(r"""([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|'[^']*'|[^\s"']*)""")
_SPACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s+(\S.*)")
_KIND = "environment"
_MEND = "let the process read it from a file or from Vault, and change it: it was readable"
_OBJECT_MEND = "keep it in Vault, and let an agent, a CSI driver or an operator bring it"
_MAX_NODES = 100_000


def holds_secret(name: str, value: str) -> bool:
    """Return whether a variable holds a secret: by its name, or a password in its URL."""
    value = value.strip().strip("\"'")
    url = _URL.match(value)
    if url is not None:
        return not _PLACEHOLDER.match(url["password"])
    return bool(_NAME.search(name)) and not _PLACEHOLDER.match(value)


def find_variables(piece: Piece) -> Iterator[SecretFinding]:
    """Yield the variables with secrets of a file that says what a process is started with."""
    name = piece.path.rpartition("/")[2].lower()
    lines = piece.text.splitlines()
    found: Iterator[tuple[int, str, str]]
    if name.endswith((".yaml", ".yml", ".json")):
        found = _in_manifest(piece.text)
    elif name.startswith(("dockerfile", "containerfile")) or name.endswith(".dockerfile"):
        found = _in_lines(lines, _DOCKER)
    elif name.endswith((".service", ".conf", ".timer", ".socket")):
        found = _in_lines(lines, _UNIT)
    elif name == ".env" or name.startswith(".env.") or name.endswith(".env"):
        found = _in_lines(lines, re.compile(r"\s*(?:export\s+)?([A-Za-z_].*)"))
    else:
        return
    for number, kind, mend in found:
        if not is_allowed_here(lines, number):
            yield SecretFinding(kind, piece.where, piece.path, number, mend)


def find_in_image_config(where: str, variables: list[str]) -> Iterator[SecretFinding]:
    """Yield the variables with secrets of an image's configuration (``NAME=value`` each)."""
    for each in variables:
        name, _, value = each.partition("=")
        if holds_secret(name, value):
            yield SecretFinding(_KIND, where, f"Env {name}", 0, _MEND)


def _in_lines(lines: list[str], form: re.Pattern[str]) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        statement = form.match(line)
        if statement is None:
            continue
        pairs = _ASSIGNED.findall(statement[1])
        spaced = _SPACED.match(statement[1])
        if not pairs and spaced is not None:
            pairs = [spaced.groups()]
        if any(holds_secret(name, value) for name, value in pairs):
            yield number, _KIND, _MEND


def _in_manifest(text: str) -> Iterator[tuple[int, str, str]]:
    """Look at Kubernetes' ``env`` and ``Secret``, and at Compose's ``environment``.

    A template that is no YAML is left to the detectors of lines.
    """
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    waiting: list[tuple[str, yaml.Node]] = [("", each) for each in documents if each is not None]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_NODES:
        key, node = waiting.pop()
        if id(node) in seen:  # an alias, perhaps to itself
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            table = _table(node)
            yield from _of_mapping(key, table, node)
            waiting += [(name, value) for name, value in table.items()]
        elif isinstance(node, yaml.SequenceNode):
            if key == "environment":
                yield from _of_pairs(node)
            waiting += [(key, each) for each in node.value]


def _of_mapping(
    key: str, table: dict[str, yaml.Node], node: yaml.MappingNode
) -> Iterator[tuple[int, str, str]]:
    line = node.start_mark.line + 1
    if key == "environment":
        for name, value in table.items():
            if holds_secret(name, _text(value)):
                yield value.start_mark.line + 1, _KIND, _MEND
    elif key == "env" and holds_secret(_text(table.get("name")), _text(table.get("value"))):
        yield table["value"].start_mark.line + 1, _KIND, _MEND
    elif _text(table.get("kind")) == "Secret" and "apiVersion" in table:
        for name in ("data", "stringData"):
            content = table.get(name)
            if isinstance(content, yaml.MappingNode) and any(map(_holds, _table(content).values())):
                yield line, "kubernetes-secret", _OBJECT_MEND


def _of_pairs(node: yaml.SequenceNode) -> Iterator[tuple[int, str, str]]:
    for each in node.value:
        name, _, value = _text(each).partition("=")
        if holds_secret(name, value):
            yield each.start_mark.line + 1, _KIND, _MEND


def _holds(node: yaml.Node) -> bool:
    return not _PLACEHOLDER.match(_text(node))


def _table(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {_text(key): value for key, value in node.value}


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
