"""What is left of a URL: nothing that a person looked at."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.csp.reports.origin import host_of, reduce_url, strip_port, without_query

REDUCED = [
    ("a path and a query", "https://Shop.Example/a/b?token=eyJ#f", "https://shop.example"),
    ("another port", "https://shop.example:8443/x", "https://shop.example:8443"),
    ("the default port", "https://shop.example:443/x", "https://shop.example"),
    ("port 80 over TLS", "https://shop.example:80", "https://shop.example:80"),
    ("a last dot", "https://shop.example./", "https://shop.example"),
    ("credentials", "https://user:pw@shop.example/", "https://shop.example"),
    ("credentials that look like a host", "https://a.example@b.example", "https://b.example"),
    ("a backslash ends it", "https://a.example\\@b.example", "https://a.example"),
    ("a WebSocket", "wss://shop.example/socket", "wss://shop.example"),
    ("IPv6", "http://[2001:db8::1]:8080/x", "http://[2001:db8::1]:8080"),
    ("punycode", "https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example"),
    ("inline", "inline", "inline"),
    ("eval", "eval", "eval"),
    ("wasm-eval", "wasm-eval", "wasm-eval"),
    ("trusted types", "trusted-types-sink", "trusted-types-sink"),
    ("a bare scheme", "data", "data"),
    ("data", "data:text/html,<script>alert(1)</script>", "data"),
    ("blob", "blob:https://shop.example/0f3c", "blob"),
    ("a blob of a sandbox", "blob:null/0f3c", "blob"),
    ("a blob's word is no keyword", "blob:inline", "blob"),
    ("a blob in a blob", "blob:blob:https://shop.example/1", "blob"),
    ("an extension's blob", "BLOB:moz-extension://0c9b/0f3c", "moz-extension"),
    ("an extension's file", "filesystem:chrome-extension://abcdef/x", "chrome-extension"),
    ("an extension", "chrome-extension://abcdef/x.js", "chrome-extension"),
    ("about", "about:srcdoc", "about"),
    ("nothing", "", "unknown"),
    ("no URL", "not a url", "unknown"),
    ("markup", "<script>", "unknown"),
    ("markup in the host", "https://<script>/", "unknown"),
    ("a line in the host", "https://a.example\nb.example/", "unknown"),
    ("a host too long", "https://" + "a" * 64 + ".example", "unknown"),
    ("a name too long", "https://" + "a.b" * 130 + ".example", "unknown"),
    ("no slashes", "https:shop.example", "unknown"),
    ("a scheme alone", "https:", "https"),
    ("not ASCII", "https://münchen.example/", "unknown"),
]


@pytest.mark.parametrize(
    ("url", "reduced"), [row[1:] for row in REDUCED], ids=[row[0] for row in REDUCED]
)
def test_reduced(url: str, reduced: str) -> None:
    assert reduce_url(url) == reduced


@given(st.text(max_size=200) | st.from_regex(r"https?://[^/]*/secret.*", fullmatch=True))
def test_whatever_comes_only_an_origin_or_a_word_stays(url: str) -> None:
    kept = reduce_url(url)
    assert re.fullmatch(r"[a-z0-9+.-]{1,31}|(https?|wss?)://[a-z0-9_.:\[\]-]{1,300}", kept)


@pytest.mark.parametrize(
    "url", ["https://" + "a." * 30_000, "a" * 60_000 + ":", "https://a" * 9000]
)
def test_long_input_takes_no_time(url: str) -> None:
    assert len(reduce_url(url)) < 64


def test_hosts() -> None:
    assert host_of("https://shop.example:8443") == "shop.example"
    assert host_of("http://[2001:db8::1]:80") == "[2001:db8::1]"
    assert host_of("inline") == ""
    assert strip_port("Shop.Example.:443") == "shop.example"
    assert strip_port("[::1]") == "[::1]"
    assert without_query("https://a.example/x?y#z") == "https://a.example/x"
