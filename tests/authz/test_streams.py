"""How long a stream may last, and what a client's own ``grpc-timeout`` does to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.streams import format_timeout, parse_timeout, stream_milliseconds
from tests.authz.conftest import CONFIG, Bench
from tests.support.minting import NOW, Issuer


@pytest.mark.parametrize(
    ("raw", "milliseconds"),
    [
        (b"1H", 3_600_000),
        (b"2M", 120_000),
        (b"3S", 3000),
        (b"99999999m", 99_999_999),
        (b"1500u", 1),
        (b"999999n", 0),
        (b"0S", 0),
        (b"", None),
        (b"S", None),
        (b"5", None),
        (b"-1S", None),
        (b" 1S", None),
        (b"1S\n", None),
        (b"1s", None),
        (b"1.5S", None),
        (b"123456789m", None),
        (b"1S,2S", None),
        ("\N{ARABIC-INDIC DIGIT ONE}S".encode(), None),
    ],
)
def test_a_timeout_is_eight_digits_and_a_unit(raw: bytes, milliseconds: int | None) -> None:
    assert parse_timeout(raw) == milliseconds


@pytest.mark.parametrize(
    ("ends_at", "asked", "milliseconds"),
    [
        (NOW + 600, b"", 600_000),
        (NOW + 600, b"10S", 10_000),
        (NOW + 600, b"1H", 600_000),
        (NOW + 600, b"nonsense", 600_000),
        (NOW + 600, b"0S", 1),
        (NOW + 0.0004, b"", 1),
        (NOW - 5, b"", 1),
    ],
)
def test_the_sooner_of_the_tokens_end_and_the_clients_wish(
    ends_at: float, asked: bytes, milliseconds: int
) -> None:
    assert stream_milliseconds(ends_at, NOW, asked) == milliseconds


@given(st.integers(min_value=1, max_value=10**12))
def test_what_is_written_is_a_timeout_and_not_a_longer_one(milliseconds: int) -> None:
    read = parse_timeout(format_timeout(milliseconds).encode())
    assert read is not None
    assert milliseconds - 1000 < read <= milliseconds or read == 99_999_999_000


ROUTES = CONFIG.replace(
    "headers:\n",
    """\
  - {name: ending, path_prefix: /ending, end_streams_with_token: true}
  - {name: maybe, path_prefix: /maybe, auth: optional, end_streams_with_token: true}
  - {name: trial, path_prefix: /trial, shadow: true, end_streams_with_token: true}
  - {name: strict, path_prefix: /strict, shadow: true, roles: [root], end_streams_with_token: true}
headers:
""",
)


@pytest.fixture
def bench(issuer: Issuer) -> Bench:
    return Bench(issuer, config=ROUTES)


def limit(bench: Bench, path: str, token: bytes | None, **headers: str) -> str | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = bench.ask(token, path=path, headers=named)
    assert answer.allowed
    return answer.set_headers.get("grpc-timeout")


def test_an_answer_says_how_long_the_token_is_good(bench: Bench, issuer: Issuer) -> None:
    """Each time again, although the token is cached."""
    token = issuer.mint()
    leeway = bench.service.snapshot.tokens.issuers[issuer.name].leeway_seconds
    for later in (0, 1.5, 400, 599):
        bench.now = NOW + later
        assert limit(bench, "/ending/x", token) == f"{int((600 + leeway - later) * 1000)}m"


def test_the_clients_own_deadline_stands_where_it_is_sooner(bench: Bench, issuer: Issuer) -> None:
    assert limit(bench, "/ending/x", issuer.mint(), grpc_timeout="5S") == "5000m"


def test_without_a_token_that_was_accepted_there_is_nothing_to_say(
    bench: Bench, issuer: Issuer
) -> None:
    assert limit(bench, "/maybe/x", None, grpc_timeout="5S") is None
    assert limit(bench, "/trial/x", issuer.mint(exp=NOW - 1000)) is None
    assert limit(bench, "/trial/x", issuer.mint()) is not None
    assert limit(bench, "/strict/x", issuer.mint()) is None


def test_other_routes_say_nothing(bench: Bench, issuer: Issuer) -> None:
    assert limit(bench, "/api/x", issuer.mint()) is None
    assert limit(bench, "/api/x", issuer.mint(), grpc_timeout="5S") is None
