"""A CA's problem documents and a library's exceptions, as faults: which, and what they say."""

import pytest
import requests
from acme import errors, messages

from sidecar.certificates.issuers.acme.faults import (
    PROBLEMS,
    AcmeFault,
    from_problem,
    printable,
    translate,
)

PREFIX = "urn:ietf:params:acme:error:"
WHERE = "https://ca.example/dir"


def problem(code: str, **more: object) -> messages.Error:
    made: messages.Error = messages.Error.from_json({"type": code, **more})
    return made


KINDS = [
    ("final", PREFIX + "rejectedIdentifier", "rejectedIdentifier", False),
    ("it may pass", PREFIX + "rateLimited", "rateLimited", True),
    ("one that nobody knows", PREFIX + "newInvention", "other", True),
    ("another vocabulary", "https://ca.example/errors/caa", "other", True),
    ("without a type", "about:blank", "other", True),
]


@pytest.mark.parametrize(
    ("code", "known", "retryable"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)
def test_the_kind_of_a_problem(code: str, known: str, retryable: bool) -> None:
    fault = from_problem(problem(code, detail="the detail"), 7.0)
    assert (fault.problem, fault.retryable, fault.retry_after_seconds) == (known, retryable, 7.0)
    assert fault.problem in PROBLEMS
    assert str(fault) == f"{known}: the detail"


def about(name: str, code: str, detail: str = "no") -> dict[str, object]:
    return {"type": code, "detail": detail, "identifier": {"type": "dns", "value": name}}


DETAILS = [
    ("its detail", {"detail": "d", "title": "t"}, "unauthorized: d"),
    ("its title", {"title": "t"}, "unauthorized: t"),
    ("neither", {}, "unauthorized: no detail"),
    ("a subproblem says about which name",
     {"detail": "d", "subproblems": [about("a.example", PREFIX + "caa", "forbidden")]},
     "caa: forbidden (a.example)"),
    ("a subproblem that nobody knows",
     {"detail": "d", "subproblems": [about("a.example", "urn:x")]}, "unauthorized: d"),
    ("several lines", {"detail": "a\r\nb\x00c"}, "unauthorized: a  b c"),
    ("a long text", {"detail": "x" * 1000}, "unauthorized: " + "x" * 300),
]  # fmt: skip


@pytest.mark.parametrize(("more", "said"), [d[1:] for d in DETAILS], ids=[d[0] for d in DETAILS])
def test_what_a_problem_says(more: dict[str, object], said: str) -> None:
    assert str(from_problem(problem(PREFIX + "unauthorized", **more), None)) == said


RAISED: list[tuple[str, Exception, str, str]] = [
    ("a problem", problem(PREFIX + "caa", detail="d"), "caa", f"caa: {WHERE}: caa: d"),
    ("an order that failed", errors.IssuanceError(problem(PREFIX + "dns", detail="d")),
     "dns", f"dns: {WHERE}: dns: d"),
    ("no connection", requests.ConnectionError("https://ca/secret"), "unreachable",
     f"unreachable: {WHERE}: cannot be reached"),
    ("TLS", requests.exceptions.SSLError("secret"), "unreachable",
     f"unreachable: {WHERE}: TLS fails; check issuers[].ca_file"),
    ("anything else", KeyError("secret"), "other",
     f"other: {WHERE}: the answer can't be read (KeyError)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "kind", "said"), [r[1:] for r in RAISED], ids=[r[0] for r in RAISED]
)
def test_what_a_library_raises(raised: Exception, kind: str, said: str) -> None:
    fault = translate(raised, WHERE, 7.0)
    assert (fault.problem, str(fault), fault.retry_after_seconds) == (kind, said, 7.0)


def test_a_problem_outside_the_set_is_no_label() -> None:
    assert AcmeFault("what the CA says", "x").problem == "other"


def test_a_text_is_bounded_and_on_one_line() -> None:
    assert printable("a\tb" + "x" * 400) == "a b" + "x" * 297
