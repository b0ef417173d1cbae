"""Secrets in the lines of a text, by the detectors of detect-secrets.

Its detectors know how keys of providers look, and names that secrets are given. Those for random
looking texts are left out by default: hashes of locks and ids of tests are theirs, too. None of
them asks a provider whether a key is alive.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.filters import heuristic
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.settings import transient_settings

from workload.secrets.scan.findings import Piece, SecretFinding, is_allowed_here

MAX_LINE = 4096
"""Characters of a line that are looked at: a minified script is one line of a megabyte."""
_ENTROPY = {"Base64HighEntropyString": 4.5, "HexHighEntropyString": 3.0}
_LEFT_OUT = {*_ENTROPY, "IPPublicDetector"}
"""An address is no secret."""
_KINDS = {
    "Secret Keyword": "password",
    "Basic Auth Credentials": "url-password",
    "JSON Web Token": "jwt",
    "Private Key": "private-key",
}
_MEND = "take it out, and change it: Git and registries keep what they once had"
_NO_VALUE = re.compile(
    r"[<\[{(*.…_-]|(?:null|none|nil|true|false|undefined|todo|changeme|example|redacted)$|"
    r"(?:/|file:|vault:|env:|ref\+|arn:)|\$|%\(|x+$|\\?[\"']?$",
    re.IGNORECASE,
)
"""What stands where a secret could, and is none: a placeholder, a path, a reference."""
_REFERENCE = re.compile(r"secret[_-]?(?:name|ref|key[_-]?ref|store|path|class)\b", re.IGNORECASE)
"""What names a secret that is elsewhere, as Kubernetes does."""


class LineDetectors(NamedTuple):
    """The detectors of one scan. Make them with ``line_detectors``."""

    detectors: tuple[BasePlugin, ...]

    def find(self, piece: Piece) -> Iterator[SecretFinding]:
        """Yield what is in a text, each kind once a line."""
        lines = piece.text.splitlines()
        for number, line in enumerate(lines, 1):
            kinds = self._kinds_in(piece.path, line[:MAX_LINE])
            if kinds and not is_allowed_here(lines, number):
                for kind in sorted(kinds):
                    yield SecretFinding(kind, piece.where, piece.path, number, _MEND)

    def _kinds_in(self, path: str, line: str) -> set[str]:
        kinds = set()
        for detector in self.detectors:
            for found in detector.analyze_line(filename=path, line=line):
                name = str(found.type)
                value = str(found.secret_value or "")
                if name != "Secret Keyword" or _is_value(value, line):
                    kinds.add(_KINDS.get(name, name.lower().replace(" ", "-")))
        return kinds


def _is_value(value: str, line: str) -> bool:
    """Return whether what stands behind a secret's name is one."""
    return not (
        _NO_VALUE.match(value.strip())
        or _REFERENCE.search(line)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
        or heuristic.is_not_alphanumeric_string(value)
        or heuristic.is_indirect_reference(line)
        or value.count(" ") > 2  # noqa: PLR2004 - a sentence
        or "(" in value
    )


@contextmanager
def line_detectors(*, entropy: bool) -> Iterator[LineDetectors]:
    """Make detectors, for a block: detect-secrets has settings for the whole process."""
    used: list[dict[str, Any]] = [
        {"name": name} for name in sorted(_detector_classes().keys() - _LEFT_OUT)
    ]
    if entropy:
        used += [{"name": name, "limit": limit} for name, limit in _ENTROPY.items()]
    with transient_settings({"plugins_used": used, "filters_used": []}):
        classes = _detector_classes()
        yield LineDetectors(
            tuple(
                classes[each["name"]](**{key: each[key] for key in each.keys() - {"name"}})
                for each in used
            )
        )


def _detector_classes() -> dict[str, type[BasePlugin]]:
    known: Mapping[str, type[BasePlugin]] = get_mapping_from_secret_type_to_class()
    return {each.__name__: each for each in known.values()}
