"""Cases: files of requests with the expected results, and whether a result is as expected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from sidecar.authz.explain import StepResult
from sidecar.cli.files import read_text
from sidecar.common.errors import ConfigFault, Fault
from sidecar.config.base import TokenPlace
from sidecar.config.convert import convert
from sidecar.config.problem import Problem
from sidecar.config.yamltree import parse_yaml

MAX_FILE_BYTES = 4_194_304
T = TypeVar("T")
Text = Annotated[str, Meta(max_length=1_048_576)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown fields are errors: a misspelt expectation must not always hold."""


class RecordedRequest(_Strict, frozen=True):
    """The client's request. Envoy adds ``source``, ``principal`` and ``certificate``.

    For a ``principal`` without a ``certificate`` one is made that has this name alone.
    """

    path: Text
    method: Text = "GET"
    host: Text = "localhost"
    headers: dict[Text, Text] = {}
    source: Text = ""
    principal: Text = ""
    certificate: Text = ""
    bundle: Literal["signed", "forged", "unsigned"] | None = None
    """A module's bundle in the body; a registered publisher signs ``signed``."""


class Token(_Strict, frozen=True):
    """An access token: changes to valid claims; ``null`` removes a claim."""

    claims: dict[Text, Any] = {}
    signed_by: Literal["issuer", "stranger"] = "issuer"
    place: TokenPlace = "header"


class Expectation(_Strict, frozen=True):
    """The expected result.

    What is not given is not checked; a header that is ``null`` must be absent.
    """

    allowed: bool | None = None
    reason: Text | None = None
    status: int | None = None
    route: Text | None = None
    tenant: Text | None = None
    request_headers: dict[Text, Text | None] = {}
    response_headers: dict[Text, Text | None] = {}


class Case(_Strict, frozen=True):
    """One request, with or without a token, and the expected result."""

    request: RecordedRequest
    name: Text = "request"
    token: Token | None = None
    at: float | None = None
    expect: Expectation = Expectation()


class Suite(_Strict, frozen=True):
    """A file of cases."""

    cases: Annotated[tuple[Case, ...], Meta(min_length=1, max_length=10_000)]


class CountingLimit(msgspec.Struct, frozen=True):
    """A rate limit that would count a request: by what, and its rate."""

    name: str
    by: str
    requests: int
    per_seconds: int
    burst: int
    shadow: bool
    """A request over the limit passes and is counted."""


class Result(msgspec.Struct, frozen=True):
    """The result of a case, to be written as JSON."""

    name: str
    allowed: bool
    reason: str
    detail: str
    status: int
    route: str
    tenant: str | None
    request_headers: dict[str, str]
    removed_headers: tuple[str, ...]
    response_headers: dict[str, str]
    steps: tuple[StepResult, ...]
    warnings: tuple[str, ...] = ()
    shadowed: str | None = None
    limits: tuple[CountingLimit, ...] = ()
    """The rate limits that would count the request."""


def problems_of(case: Case, result: Result) -> Iterator[str]:
    """Yield every expectation that does not hold."""
    expect = case.expect
    for name in ("allowed", "reason", "status", "route", "tenant"):
        expected, got = getattr(expect, name), getattr(result, name)
        if expected is not None and expected != got:
            yield f"{name} is {got!r}, expected {expected!r}"
    for where in ("request_headers", "response_headers"):
        got_headers = getattr(result, where)
        for name, value in getattr(expect, where).items():
            if got_headers.get(name.lower()) != value:
                yield f"{where} {name} is {got_headers.get(name.lower())!r}, expected {value!r}"


def load_case(path: Path) -> Case:
    """Read one case; raise ``ConfigFault`` with every problem in the file."""
    return _load(path, Case)


def load_suites(folder: Path) -> Iterator[tuple[Path, Suite]]:
    """Read every ``*.yaml`` and ``*.json`` of a folder, in order of name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml", ".json"})
    if not paths:
        raise Fault(f"{folder} has no *.yaml or *.json file")
    for path in paths:
        yield path, _load(path, Suite)


def _load(path: Path, expected: type[T]) -> T:
    tree = parse_yaml(read_text(path, MAX_FILE_BYTES))
    problems: list[Problem] = list(tree.problems)
    value = convert(tree.value, expected, problems) if not problems else None
    if value is None:
        raise ConfigFault(str(path), tuple(tree.locate(problem) for problem in problems))
    return value
