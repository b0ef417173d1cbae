"""Hosts and paths: one spelling each, or a refusal."""

import time
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

ENCODED = "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"
GOOD_PATHS = [
    ("root", b"/", "/"),
    ("plain", b"/api/v1/users", "/api/v1/users"),
    ("trailing slash", b"/api/", "/api/"),
    ("query dropped", b"/api?next=/../admin", "/api"),
    ("unreserved decoded", b"/%61pi/%7Euser", "/api/~user"),
    ("escapes in capitals", b"/caf%c3%a9", "/caf%C3%A9"),
    ("well-known", b"/.well-known/security.txt", "/.well-known/security.txt"),
    ("three dots are a name", b"/...", "/..."),
    ("sub-delimiters", b"/a,b=(c)!$&'*+:@", "/a,b=(c)!$&'*+:@"),
    ("encoded percent sign", b"/100%25", "/100%25"),
    ("encoded space", b"/a%20b", "/a%20b"),
    ("sub-delimiters, encoded", b"/%21%24%26%27%28%29%2a%2B%2c%3D%3a%40", "/!$&'()*+,=:@"),
    ("an address", b"/users/foo%40bar.example", "/users/foo@bar.example"),
    ("a raw sign beside an encoded one", b"/@/%40", "/@/@"),
    ("what may not stand raw stays encoded", b"/%22%3c%3E%5b%5D%5e%60%7B%7c%7d", ENCODED),
    ("an encoded question mark is no query", b"/a%3fb", "/a%3Fb"),
    ("an encoded number sign is no fragment", b"/a%23b", "/a%23b"),
    ("composed and decomposed letters are two", b"/e%cc%81/%C3%a9", "/e%CC%81/%C3%A9"),
]
BAD_PATHS = [
    ("empty", b"", "begin"),
    ("asterisk", b"*", "begin"),
    ("absolute form", b"http://x/", "begin"),
    ("dot segment", b"/a/./b", "dot segment"),
    ("dot-dot segment", b"/public/../admin", "dot segment"),
    ("dot-dot at the end", b"/public/..", "dot segment"),
    ("encoded dot-dot", b"/public/%2e%2E/admin", "dot segment"),
    ("half-encoded dot-dot", b"/public/.%2e/admin", "dot segment"),
    ("empty segment", b"//admin", "empty segment"),
    ("encoded slash", b"/public%2fadmin", "a slash, encoded"),
    ("encoded slash after dots", b"/public/..%2Fadmin", "a slash, encoded"),
    ("backslash", b"/public\\..\\admin", "must be encoded"),
    ("encoded backslash", b"/public%5cadmin", "a backslash, encoded"),
    ("path parameter", b"/public/..;/admin", "semicolon"),
    ("path parameter hides a name", b"/admin;x=1", "semicolon"),
    ("encoded semicolon", b"/admin%3bx", "a semicolon, encoded"),
    ("NUL", b"/a%00.png", "a control character, encoded"),
    ("raw NUL", b"/a\x00", "must be encoded"),
    ("line feed", b"/a%0ax-tenant-id:1", "a control character, encoded"),
    ("fragment", b"/a#b", "must be encoded"),
    ("an encoded semicolon among what may be decoded", b"/a%40b%3bc", "a semicolon, encoded"),
    ("an encoded sign encoded again", b"/%2540", "encoded itself"),
    ("an encoded sign encoded in pieces", b"/%25%340", "encoded itself"),
    ("overlong letter", b"/%c1%a1dmin", "not UTF-8"),
    ("raw UTF-8", "/caf\u00e9".encode(), "must be encoded"),
    ("double encoding", b"/%252e%252e/admin", "encoded itself"),
    ("double encoding in pieces", b"/%25%32%65", "encoded itself"),
    ("no hex", b"/%zz", "malformed escape"),
    ("half an escape", b"/%4", "malformed escape"),
    ("bare percent sign", b"/%", "malformed escape"),
    ("IIS escape", b"/%u002e", "malformed escape"),
    ("overlong slash", b"/a%c0%afb", "not UTF-8"),
    ("surrogate", b"/%ed%a0%80", "not UTF-8"),
]
GOOD_HOSTS = [
    (b"app.example", "app.example"),
    (b"App.EXAMPLE:8443", "app.example"),
    (b"app.example.", "app.example"),
    (b"app.example.:443", "app.example"),
    (b"127.0.0.1:80", "127.0.0.1"),
    (b"[::1]:80", "[::1]"),
    (b"my_service", "my_service"),
]
BAD_HOSTS = [
    b"", b".", b"a..b", b"-a.example", b"a.example-", b"user@app.example", b"app.example:port",
    b"app.example:1234567", b"app.example/", b"app example", b"app.example\x00", b"caf\xc3\xa9",
    b"a" * 64, b".".join([b"a" * 60] * 5), b"a" * 1_000_000, b"app.example,evil.example",
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "canonical"), [p[1:] for p in GOOD_PATHS], ids=[p[0] for p in GOOD_PATHS]
)
def test_paths_with_one_reading(raw: bytes, canonical: str) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(("raw", "said"), [p[1:] for p in BAD_PATHS], ids=[p[0] for p in BAD_PATHS])
def test_paths_with_more_than_one(raw: bytes, said: str) -> None:
    with pytest.raises(Denied) as denied:
        canonical_path(raw)
    assert denied.value.reason is Reason.PATH_AMBIGUOUS
    assert said in denied.value.detail


def test_a_path_over_the_limit() -> None:
    canonical_path(b"/" + b"a" * 8191)
    with pytest.raises(Denied) as denied:
        canonical_path(b"/" + b"a" * 8192)
    assert denied.value.reason is Reason.REQUEST_TOO_LARGE


@pytest.mark.quiet
@pytest.mark.parametrize("worst", [b"a" * 8000 + b"\\", b"a/" * 4000 + b"\\", b"%41" * 2600 + b"%"])
def test_no_path_takes_long(worst: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(Denied):
        canonical_path(b"/" + worst)
    assert time.perf_counter() - started < 0.05


PCHAR = "ABCXYZabcxyz0189-._~!$&'()*+,=:@"


@given(st.lists(st.tuples(st.sampled_from(PCHAR), st.booleans(), st.booleans()), min_size=1))
def test_every_mixture_of_raw_and_encoded_is_one_path(
    spelt: list[tuple[str, bool, bool]],
) -> None:
    plain = "/" + "".join(char for char, _, _ in spelt) + "/x"
    mixed = "/" + "".join(
        char if raw else f"%{ord(char):02{'x' if lower else 'X'}}" for char, raw, lower in spelt
    ) + "/x"  # fmt: skip
    try:
        canonical = canonical_path(plain.encode())
    except Denied:  # a segment of dots
        with pytest.raises(Denied):
            canonical_path(mixed.encode())
        return
    assert canonical_path(mixed.encode()) == canonical == plain


@given(st.binary(max_size=64).map(lambda tail: b"/" + tail))
def test_what_is_canonical_stays_so_and_holds_nothing_ambiguous(raw: bytes) -> None:
    try:
        canonical = canonical_path(raw)
    except Denied:
        return
    assert canonical_path(canonical.encode()) == canonical
    decoded = unquote(canonical, errors="strict")
    assert decoded.count("/") == canonical.count("/")
    assert not {".", ".."} & set(decoded.split("/"))
    assert not set(decoded) & {"\\", ";", "\x00", "\r", "\n", "\x7f"}


@pytest.mark.parametrize(("raw", "canonical"), GOOD_HOSTS)
def test_hosts(raw: bytes, canonical: str) -> None:
    assert canonical_host(raw) == canonical


@pytest.mark.parametrize("raw", BAD_HOSTS, ids=[repr(host[:24]) for host in BAD_HOSTS])
def test_what_is_no_host(raw: bytes) -> None:
    with pytest.raises(Denied) as denied:
        canonical_host(raw)
    assert denied.value.reason is Reason.HOST_MALFORMED
