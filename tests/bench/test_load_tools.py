"""What h2load and wrk print, read."""

import pytest

from bench.load_tools import Rate, parse_h2load, parse_wrk

H2LOAD = """\
starting benchmark...
spawning thread #0: 4 total client(s). Timing-based test with 500ms of warm-up time.
Application protocol: h2c

finished in 3.51s, 19607.33 req/s, 1.79MB/s
requests: 58822 total, 58886 started, 58822 done, {ok} succeeded, 0 failed, 0 errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, {bad} 4xx, 0 5xx
traffic: 5.37MB (5631104) total, 1.72MB (1800600) headers (space savings 82.00%), 0B (0) data
                     min         max         mean         sd        +/- sd
time for request:      310us     12.11ms      3.21ms       498us    86.85%
"""
WRK = """\
Running 3s test @ http://127.0.0.1:10000/api/orders?page=2
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.05ms  480.21us  11.02ms   91.28%
    Req/Sec    15.63k     1.02k   17.40k    76.67%
  46683 requests in 3.00s, 6.10MB read
{extra}Requests/sec:  15558.41
Transfer/sec:      2.03MB
"""


def test_h2loads_report() -> None:
    assert parse_h2load(H2LOAD.format(ok=58822, bad=0)) == Rate(19607.33, 58822, 0)


def test_a_refused_request_counts_as_failed() -> None:
    assert parse_h2load(H2LOAD.format(ok=58000, bad=822)).failed == 822


def test_wrks_report() -> None:
    assert parse_wrk(WRK.format(extra="")) == Rate(15558.41, 46683, 0)


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("  Non-2xx or 3xx responses: 12\n", 12),
        ("  Socket errors: connect 1, read 2, write 0, timeout 3\n", 6),
    ],
)
def test_wrks_failures(line: str, failed: int) -> None:
    assert parse_wrk(WRK.format(extra=line)).failed == failed


@pytest.mark.parametrize("parse", [parse_h2load, parse_wrk])
def test_other_words_are_not_taken_for_a_report(parse: object) -> None:
    with pytest.raises(ValueError, match="said something else"):
        parse("unable to connect")  # type: ignore[operator]
