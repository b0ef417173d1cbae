"""A trace's context, by the cases of the Recommendation and of its test suite."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observability.tracing.context import is_sampled, read_traceparent, read_tracestate

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"

TRACEPARENTS: list[tuple[str, str, int | None]] = [
    ("sampled", WHOLE, 1),
    ("not sampled", f"00-{TRACE}-{SPAN}-00", 0),
    ("flags that are not known", f"00-{TRACE}-{SPAN}-ff", 255),
    ("a later version", f"cc-{TRACE}-{SPAN}-01", 1),
    ("a later version with more", f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ("a later version that ends with a dash", f"cc-{TRACE}-{SPAN}-01-", 1),
    ("a later version with more and no dash", f"cc-{TRACE}-{SPAN}-01.what", None),
    ("version 00 with more", f"{WHOLE}-what", None),
    ("version 00 that ends with a dash", f"{WHOLE}-", None),
    ("version ff", f"ff-{TRACE}-{SPAN}-01", None),
    ("a version of one digit", f"0-{TRACE}-{SPAN}-01", None),
    ("a version of three", f"000-{TRACE}-{SPAN}-01", None),
    ("no hexadecimal digits for the version", f".0-{TRACE}-{SPAN}-01", None),
    ("a trace of zeros", f"00-{'0' * 32}-{SPAN}-01", None),
    ("a short trace", f"00-{TRACE[:-1]}-{SPAN}-01", None),
    ("a long trace", f"00-{TRACE}0-{SPAN}-01", None),
    ("a trace in capitals", f"00-{TRACE.upper()}-{SPAN}-01", None),
    ("no hexadecimal digits for the trace", f"00-.{TRACE[1:]}-{SPAN}-01", None),
    ("a span of zeros", f"00-{TRACE}-{'0' * 16}-01", None),
    ("a short span", f"00-{TRACE}-{SPAN[:-1]}-01", None),
    ("a span in capitals", f"00-{TRACE}-{SPAN.upper()}-01", None),
    ("flags of one digit", f"00-{TRACE}-{SPAN}-1", None),
    ("flags of three digits", f"00-{TRACE}-{SPAN}-001", None),
    ("no hexadecimal digits for the flags", f"00-{TRACE}-{SPAN}-.0", None),
    ("white space before", f" {WHOLE}", None),
    ("white space behind", f"{WHOLE} ", None),
    ("a line feed behind", f"{WHOLE}\n", None),
    ("two of them", f"{WHOLE},{WHOLE}", None),
    ("nothing", "", None),
    ("too long", f"cc-{TRACE}-{SPAN}-01-{'x' * 250}", None),
]


@pytest.mark.parametrize(
    ("value", "flags"), [row[1:] for row in TRACEPARENTS], ids=[row[0] for row in TRACEPARENTS]
)
def test_traceparent(value: str, flags: int | None) -> None:
    context = read_traceparent(value.encode())
    if flags is None:
        assert context is None
    else:
        assert context is not None
        assert context == (TRACE.encode(), SPAN.encode(), b"%02x" % flags)
        assert is_sampled(context) == bool(flags & 1)


@given(st.binary(max_size=120) | st.text("0123456789abcdef-", max_size=70).map(str.encode))
def test_any_bytes_are_a_context_or_none(value: bytes) -> None:
    context = read_traceparent(value)
    if context is not None:
        assert [len(each) for each in context] == [32, 16, 2]
        assert value[2:].startswith(b"-%b-%b-%b" % context)


KEY_256, KEY_241 = "a" * 256, "t" * 241
TRACESTATES = [
    ("one", "congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
    ("two, in their order", "rojo=1,congo=2", "rojo=1,congo=2"),
    ("white space around", "rojo=1 ,\t congo=2", "rojo=1,congo=2"),
    ("empty members", ",rojo=1,,", "rojo=1"),
    ("a tenant's", "1tenant@system=x", "1tenant@system=x"),
    ("every character of a key", "a0_-*/=x", "a0_-*/=x"),
    ("a space inside a value", "a=b c", "a=b c"),
    ("the longest key", f"{KEY_256}=1", f"{KEY_256}=1"),
    ("the longest tenant", f"{KEY_241}@{'v' * 14}=1", f"{KEY_241}@{'v' * 14}=1"),
    ("32 members", ",".join(f"a{n}=1" for n in range(32)), ",".join(f"a{n}=1" for n in range(32))),
    ("33 members", ",".join(f"a{n}=1" for n in range(33)), ""),
    ("a key too long", f"{KEY_256}a=1", ""),
    ("a tenant too long", f"{KEY_241}t@v=1", ""),
    ("a system too long", f"t@{'v' * 15}=1", ""),
    ("a key that begins with a digit", "0a=1", ""),
    ("a key in capitals", "Foo=1", ""),
    ("a key with a space", "foo =1", ""),
    ("a key with two @", "a@b@c=1", ""),
    ("no key", "=1", ""),
    ("no value", "a=", ""),
    ("a value with =", "a=b=c", ""),
    ("a value too long", f"a={'b' * 257}", ""),
    ("a control character", "a=b\x01", ""),
    ("beyond ASCII", "a=é", ""),
    ("a key twice", "a=1,b=2,a=3", ""),
    ("too long", ",".join(f"a{n}={'x' * 100}" for n in range(6)), ""),
    ("nothing", "", ""),
]


@pytest.mark.parametrize(
    ("value", "expected"), [row[1:] for row in TRACESTATES], ids=[row[0] for row in TRACESTATES]
)
def test_tracestate(value: str, expected: str) -> None:
    assert read_tracestate(value.encode()) == expected


def test_each_digit_of_the_flags_says_whether_it_is_sampled() -> None:
    for flags in range(256):
        context = read_traceparent(b"00-%b-%b-%02x" % (TRACE.encode(), SPAN.encode(), flags))
        assert context is not None
        assert is_sampled(context) == flags % 2
