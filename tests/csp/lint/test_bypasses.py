"""Which sources let an attacker's script in by their host."""

import pytest

from sidecar.csp.lint.bypasses import BYPASSES, find_bypass


def test_the_list_of_bypasses_is_tidy() -> None:
    hosts = [entry.host for entry in BYPASSES]
    assert len(set(hosts)) == len(hosts) <= 60
    assert find_bypass("cdn.septemcore.com") is None


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("unpkg.com", "unpkg.com"),
        ("unpkg.com.", "unpkg.com"),
        ("*.com", "ajax.aspnetcdn.com"),
        ("*.jsdelivr.net", "cdn.jsdelivr.net"),
        ("github.io", "github.io"),
        ("me.github.io", "github.io"),
        ("a.b.github.io", "github.io"),
        ("*.github.io", "github.io"),
        ("*.me.github.io", "github.io"),
        ("cdn.unpkg.com", None),
        ("*.unpkg.com", None),
        ("*.cdn.jsdelivr.net", None),
        ("notgithub.io", None),
        ("*.notgithub.io", None),
        ("unpkg.com.example", None),
        ("", None),
    ],
)
def test_a_host_is_on_the_list_by_itself_or_below_a_shared_one(
    host: str, entry: str | None
) -> None:
    found = find_bypass(host)
    assert (found.host if found else None) == entry
