"""Which URLs have one reading, and which hosts are whose."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.web_url import MAX_URL_LENGTH, is_nobodys, on_loopback, read_web_url

GOOD = [
    ("https://idp.example", ("https", "idp.example", None, "", "")),
    ("https://idp.example/", ("https", "idp.example", None, "/", "")),
    ("https://IdP.example:8443/realms/r", ("https", "IdP.example", 8443, "/realms/r", "")),
    ("http://127.0.0.1:8080/a", ("http", "127.0.0.1", 8080, "/a", "")),
    ("https://[2001:db8::1]:443/k", ("https", "2001:db8::1", 443, "/k", "")),
    ("https://a/k?p=b2c_1/x&y=%20", ("https", "a", None, "/k", "?p=b2c_1/x&y=%20")),
    ("https://a/realms/with%20space", ("https", "a", None, "/realms/with%20space", "")),
    ("https://a/...", ("https", "a", None, "/...", "")),
    ("https://1password.example.1a/k", ("https", "1password.example.1a", None, "/k", "")),
]


@pytest.mark.parametrize(("text", "parts"), GOOD, ids=[row[0] for row in GOOD])
def test_the_parts_of_a_url(text: str, parts: tuple[object, ...]) -> None:
    url = read_web_url(text)
    assert tuple(url) == parts
    assert text == url.origin + url.path + url.query


BAD = [
    ("a user name", "https://user@idp.example/"),
    ("a user name and a password", "https://user:word@idp.example/"),
    ("a fragment", "https://idp.example/#x"),
    ("a space", "https://idp.example/ x"),
    ("a line break", "https://idp.example/\n"),
    ("a tab", "https://idp\t.example/"),
    ("a back slash", "https://idp.example\\@other.example/"),
    ("half an escape", "https://idp.example/%2"),
    ("two dots", "https://idp.example/a/../b"),
    ("an escaped dot", "https://idp.example/a/%2e./b"),
    ("a dot at the end", "https://idp.example/."),
    ("port 0", "https://idp.example:0/"),
    ("port 65536", "https://idp.example:65536/"),
    ("an empty port", "https://idp.example:/"),
    ("no host", "https:///k"),
    ("another scheme", "ftp://idp.example/"),
    ("a file", "file:///etc/passwd"),
    ("no scheme", "idp.example/k"),
    ("a scheme in capitals", "HTTPS://idp.example/"),
    ("a letter that is not ASCII", "https://idp.exämple/"),
    ("a digit that is not ASCII", "https://idp.example:\uff1443/"),
    ("a root dot", "https://idp.example./"),
    ("an address as one number", "http://2130706433/"),
    ("an address in hexadecimal", "http://0x7f.1/"),
    ("a short address", "http://127.1/"),
    ("an octet too large", "http://127.0.0.256/"),
    ("an octet in octal", "http://0177.0.0.1/"),
    ("brackets without an address", "http://[::::]/"),
    ("an IPv6 zone", "http://[fe80::1%25eth0]/"),
    ("too long", "https://idp.example/" + "a" * MAX_URL_LENGTH),
]


@pytest.mark.parametrize("text", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_what_two_readers_may_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has|names)"):
        read_web_url(text)


@given(st.text(alphabet="https:/.@[]%2e?#\\a1 \n", max_size=40))
def test_any_text_is_read_back_as_it_was_or_refused(tail: str) -> None:
    text = f"https://{tail}"
    try:
        url = read_web_url(text)
    except ValueError:
        return
    assert url.origin + url.path + url.query == text
    assert "@" not in url.host


HOSTS = [
    ("localhost", True, False),
    ("LOCALHOST", True, False),
    ("idp.localhost", True, False),
    ("127.0.0.1", True, False),
    ("127.9.9.9", True, False),
    ("::1", True, False),
    ("::ffff:127.0.0.1", True, False),
    ("localhost.example", False, False),
    ("idp.example", False, False),
    ("10.0.0.1", False, False),
    ("169.254.169.254", False, True),
    ("::ffff:169.254.169.254", False, True),
    ("fe80::1", False, True),
    (str(IPv4Address(0)), False, True),
    ("::", False, True),
    ("224.0.0.1", False, True),
    ("ff02::1", False, True),
]


@pytest.mark.parametrize(("host", "here", "nobodys"), HOSTS, ids=[row[0] for row in HOSTS])
def test_whose_a_host_is(host: str, here: bool, nobodys: bool) -> None:
    assert (on_loopback(host), is_nobodys(host)) == (here, nobodys)
