"""Source expressions: what is one, what is not, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.csp.language import Kind, NotASourceError, Source, parse_source

SHA256 = "sha256-" + "A" * 43
READ = [
    ("'none'", Source(Kind.NONE, "'none'")),
    ("'SELF'", Source(Kind.KEYWORD, "'self'")),
    ("'wasm-unsafe-eval'", Source(Kind.KEYWORD, "'wasm-unsafe-eval'")),
    ("HTTPS:", Source(Kind.SCHEME, "https:", scheme="https")),
    ("data:", Source(Kind.SCHEME, "data:", scheme="data")),
    ("*", Source(Kind.HOST, "*", host="*")),
    ("CDN.example", Source(Kind.HOST, "cdn.example", host="cdn.example")),
    ("SVC.example", Source(Kind.HOST, "svc.example", host="svc.example")),
    ("*.example.", Source(Kind.HOST, "*.example.", host="*.example.")),
    ("-a.example", Source(Kind.HOST, "-a.example", host="-a.example")),
    ("https:*", Source(Kind.HOST, "https:*", host="https", port="*")),
    ("http:8080", Source(Kind.HOST, "http:8080", host="http", port="8080")),
    ("https://*:*", Source(Kind.HOST, "https://*:*", "https", "*", "*")),
    ("example.com:", Source(Kind.SCHEME, "example.com:", scheme="example.com")),
    ("a.example:00443", Source(Kind.HOST, "a.example:443", host="a.example", port="443")),
    ("a.example/", Source(Kind.HOST, "a.example/", host="a.example", path="/")),
    ("'NONCE-{nonce}'", Source(Kind.NONCE, "'nonce-{nonce}'")),
    (
        "WSS://*.Example:8443/Live/",
        Source(Kind.HOST, "wss://*.example:8443/Live/", "wss", "*.example", "8443", "/Live/"),
    ),
    ("a.example:*", Source(Kind.HOST, "a.example:*", host="a.example", port="*")),
    ("localhost:3000", Source(Kind.HOST, "localhost:3000", host="localhost", port="3000")),
    ("127.0.0.1", Source(Kind.HOST, "127.0.0.1", host="127.0.0.1")),
    ("a.example/p%2Cq", Source(Kind.HOST, "a.example/p%2Cq", host="a.example", path="/p%2Cq")),
    ("{tenant_domain}", Source(Kind.HOST, "{tenant_domain}", host="{tenant_domain}")),
    (
        "wss://*.{tenant_domain}:1",
        Source(Kind.HOST, "wss://*.{tenant_domain}:1", "wss", "*.{tenant_domain}", "1"),
    ),
    ("'nonce-{nonce}'", Source(Kind.NONCE, "'nonce-{nonce}'")),
    (f"'{SHA256}='", Source(Kind.HASH, f"'{SHA256}='")),
    ("'sha256-" + "-_" * 21 + "8='", Source(Kind.HASH, "'sha256-" + "-_" * 21 + "8='")),
    ("'SHA512-" + "A" * 86 + "=='", Source(Kind.HASH, "'sha512-" + "A" * 86 + "=='")),
    ("'sha384-" + "A" * 64 + "'", Source(Kind.HASH, "'sha384-" + "A" * 64 + "'")),
]


@pytest.mark.parametrize(("text", "source"), READ, ids=[row[0][:30] for row in READ])
def test_read(text: str, source: Source | None) -> None:
    if source is None:
        with pytest.raises(NotASourceError):
            parse_source(text)
    else:
        assert parse_source(text) == source


REFUSED = [
    ("", "is empty"),
    ("self", "self without quotes is the name of a host; write \"'self'\""),
    ("None", "None without quotes"),
    ("unsafe-inline", "without quotes"),
    ("nonce-abc", "without quotes"),
    (SHA256, "without quotes"),
    ("'slef'", "is no keyword, nonce or hash; did you mean 'self'?"),
    ("'unsafe_inline'", "did you mean 'unsafe-inline'?"),
    ("'example.com'", "is no keyword, nonce or hash"),
    ("'self", "has a quote without its other half"),
    ("self'", "has a quote without its other half"),
    ("'", "has a quote without its other half"),
    ("''", "has a quote without its other half"),
    ("'a'b'", "has a quote without its other half"),
    ("'nonce-abc'", "a nonce that stands in a file is none; write 'nonce-{nonce}'"),
    ("'sha256-abc'", "a sha256 has 32 bytes"),
    (f"'{SHA256}'", f"browsers match no other spelling than '{SHA256}='"),
    (f"'{SHA256}=='", f"browsers match no other spelling than '{SHA256}='"),
    ("'sha256-" + "A" * 42 + "B='", f"browsers match no other spelling than '{SHA256}='"),
    ("'sha512-" + "A" * 86 + "='", "browsers match no other spelling"),
    ("'sha256-" + "A" * 41 + "'", "a sha256 has 32 bytes"),
    ("'sha256-A'", "a sha256 has 32 bytes"),
    (f"'{SHA256}==='", "is no hash"),
    (f"'{SHA256[:20]}={SHA256[20:]}'", "is no hash"),
    ("'sha-256-" + "A" * 43 + "='", "is no hash"),
    ("'nonce-'", "a nonce that stands in a file is none"),
    ("'sha384-" + "A" * 43 + "='", "a sha384 has 48 bytes"),
    ("'sha256-!'", "is no hash"),
    ("'sha1-" + "A" * 27 + "='", "is no hash"),
    ("a.example;", "';' ends a directive"),
    ("a.example,b.example", "',' ends a policy"),
    ("a.example b.example", "holds a space"),
    ("a.example\r\nx: y", "holds a space, a control character"),
    ("a\x00", "control character"),
    ("bücher.example", "beyond ASCII"),
    ("https://", "neither scheme: nor"),
    ("//a.example", "neither scheme: nor"),
    ("a.*.example", "'*' stands alone"),
    ("*a.example", "'*' stands alone"),
    ("a..example", "neither scheme: nor"),
    (".a.example", "neither scheme: nor"),
    ("a.example..", "neither scheme: nor"),
    ("a.example:/x", "neither scheme: nor"),
    ("a.example//x", "neither scheme: nor"),
    ("*:", "'*' stands alone"),
    ("a_b.example", "neither scheme: nor"),
    ("[::1]", "an IPv6 address can't stand in a policy"),
    ("a.example?q", "it can't hold a query or a fragment"),
    ("a.example/#x", "it can't hold a query or a fragment"),
    ("a.example:99999", "99999 is no port"),
    ("a.example:0", "0 is no port"),
    ("a.example:" + "9" * 400, "is no port"),
    ("a.example/%zz", "neither scheme: nor"),
    ("{tenant}", "{tenant} is no variable; there are {tenant_domain} and {nonce}"),
    ("{tenant_domain", "is no variable"),
    ("x.{tenant_domain}", "is no source"),
    ("{tenant_domain}.example", "is no source"),
    ("a.example/{tenant_domain}", "is no source"),
    ("{nonce}", "is no source"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[repr(row[0][:30]) for row in REFUSED])
def test_refused(text: str, said: str) -> None:
    with pytest.raises(NotASourceError) as exc:
        parse_source(text)
    assert said in str(exc.value)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=24))
def test_what_is_read_can_end_nothing(text: str) -> None:
    """No text gets through that would end a value, a directive, a policy or the header."""
    try:
        source = parse_source(text)
    except NotASourceError:
        return
    assert source.text.isascii()
    assert not set(source.text) & set(' ;,"\\\r\n\t\0')
    assert parse_source(source.text) == source
