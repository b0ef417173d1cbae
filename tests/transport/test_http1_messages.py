"""What a handler sees of a request, and what it can answer."""

import json

import pytest

from sidecar.transport.http1_messages import Request, Response, problem


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ((), ""),
        (((b"origin", b"https://a.example"),), "https://a.example"),
        (((b"origin", b"a"), (b"origin", b"b")), ""),
        (((b"origin", b"a"), (b"host", b"b")), "a"),
        (((b"origin", b"\xe4"),), "ä"),
    ],
    ids=["none", "one", "twice", "beside another", "not ASCII"],
)
def test_a_header_counts_only_if_it_is_the_only_one_of_its_name(
    headers: tuple[tuple[bytes, bytes], ...], value: str
) -> None:
    assert Request("GET", "/", "", b"", headers).header(b"origin") == value


def test_a_json_answer_ends_with_a_line_break() -> None:
    answer = Response.json(200, {"a": 1})
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.body == b'{\n "a": 1\n}\n'


@pytest.mark.parametrize(
    ("detail", "document"),
    [("", {"status": 413}), ("send less", {"status": 413, "error": "send less"})],
)
def test_a_problem_says_what_to_do_where_that_is_known(
    detail: str, document: dict[str, object]
) -> None:
    assert json.loads(problem(413, detail).body) == document
