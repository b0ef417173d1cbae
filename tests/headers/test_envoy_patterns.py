"""The patterns by which Envoy removes names and refuses hosts and upgrades."""

import re
import string

import pytest

from sidecar.config.overrides import OVERRIDE_NAMES, OVERRIDES
from sidecar.headers.envoy_check import spellings
from sidecar.headers.envoy_patterns import (
    FOLDED_NAMES,
    HOST_OF_TWO_READINGS,
    REQUEST_TRAILERS,
    RESPONSE_TRAILERS,
    UPGRADE_CONNECTION,
    request_names,
)
from sidecar.headers.tenant import TRUSTED

TOKEN = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_lowercase
PASS = [
    ":method",
    ":path",
    ":authority",
    "host",
    "authorization",
    "cookie",
    "content-type",
    "content-length",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "x-envoy-external-address",
    "if-none-match",
    "sec-websocket-key",
    "traceparent",
    "x-api-key",
    "idempotency-key",
    "grpc-timeout",
    "te",
    "forwarded-by-me",
    "x",
    "1",
]


@pytest.mark.parametrize("name", PASS)
def test_ordinary_names_pass(name: str) -> None:
    assert re.fullmatch(request_names(), name) is None


@pytest.mark.parametrize("byte", sorted(set(TOKEN) - set(string.ascii_lowercase + string.digits)))
@pytest.mark.parametrize("shape", ["a{}b", "{}a", "a{}", "a{0}{0}b", "a-b{}c", "{}"])
def test_a_name_with_any_other_byte_is_removed(shape: str, byte: str) -> None:
    found = re.fullmatch(FOLDED_NAMES, shape.format(byte))
    assert (found is None) == (byte == "-")


@pytest.mark.parametrize("name", sorted(OVERRIDE_NAMES))
def test_each_override_is_removed_in_every_spelling(name: str) -> None:
    pattern = re.compile(request_names())
    assert all(pattern.fullmatch(each) for each in spellings(name))
    kept = re.compile(request_names({name}))
    assert kept.fullmatch(name) is None
    assert all(kept.fullmatch(each) for each in spellings(name) if each != name)
    assert all(kept.fullmatch(each.name) for each in OVERRIDES if each.name != name)


def test_the_list_says_who_reads_each_and_repeats_none() -> None:
    names = [each.name for each in OVERRIDES]
    assert len(names) == len(set(names))
    assert not {*TRUSTED} & {*names}
    for each in OVERRIDES:
        assert re.fullmatch(r"[a-z0-9-]+", each.name)
        assert each.read_by
    undone = {each.changes for each in OVERRIDES if each.decided_on}
    assert undone == {"method", "host", "path"}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("authorization", True),
        ("cookie", True),
        ("cookie2", True),
        ("content-length", True),
        ("host", True),
        ("x-forwarded-for", True),
        ("if-match", True),
        ("content-digest", False),
        ("repr-digest", False),
        ("x-checksum", False),
        ("grpc-status", False),
    ],
)
def test_fields_of_weight_are_no_trailers(name: str, taken: bool) -> None:
    assert (re.fullmatch(REQUEST_TRAILERS, name) is not None) == taken


@pytest.mark.parametrize("name", ["grpc-status", "grpc-message", "server-timing", "content-digest"])
def test_a_responses_own_trailers_stay(name: str) -> None:
    assert re.fullmatch(RESPONSE_TRAILERS, name) is None


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("upgrade", True),
        ("Upgrade, Keep-Alive", True),
        (" upgrade\t,", True),
        ("", False),
        ("upgradekeep-alive", False),
        ("upgrade keep-alive", False),
        ("upgrade, close", False),
        ("x-roles,upgrade", False),
    ],
)
def test_what_an_upgrade_may_name(value: str, passes: bool) -> None:
    assert (re.fullmatch(UPGRADE_CONNECTION, value) is not None) == passes


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("a.example", False),
        ("[::1]", False),
        ("127.0.0.1", False),
        ("a.example.", True),
        ("a.example:1", True),
        ("a.example:", True),
        ("[::1]:1", True),
        ("a.example:1.", True),
    ],
)
def test_a_host_that_still_has_a_port_or_a_dot(host: str, refused: bool) -> None:
    assert (re.fullmatch(HOST_OF_TWO_READINGS, host) is not None) == refused
