"""Which reports an extension or another program on the user's machine has caused."""

import pytest

from sidecar.csp.reports.noise import EXTENSION_SCHEMES, INJECTING_DOMAINS, is_noise
from sidecar.csp.reports.parse import Violation

PAGE = "https://shop.example"


def violation(blocked: str = "inline", source: str = "", document: str = PAGE) -> Violation:
    return Violation("script-src", blocked, document, source, "enforce", f"{document}/p")


@pytest.mark.parametrize("where", ["blocked", "source", "document"])
@pytest.mark.parametrize("scheme", sorted(EXTENSION_SCHEMES))
def test_an_extensions_scheme_anywhere(scheme: str, where: str) -> None:
    assert is_noise(violation(**{where: scheme}))


@pytest.mark.parametrize("where", ["blocked", "source", "document"])
@pytest.mark.parametrize("domain", INJECTING_DOMAINS)
def test_a_host_that_a_program_injects_anywhere(domain: str, where: str) -> None:
    for host in (domain, f"gc.{domain}", f"a.b.{domain}"):
        assert is_noise(violation(**{where: f"https://{host}:1"}))


@pytest.mark.parametrize(
    ("changes", "noise"),
    [
        ({}, False),
        ({"blocked": "about"}, True),
        ({"document": "about"}, True),
        ({"source": "about"}, False),
        ({"blocked": "data", "source": PAGE}, False),
        ({"blocked": f"https://not-{INJECTING_DOMAINS[0]}"}, False),
        ({"blocked": f"https://{INJECTING_DOMAINS[0]}.example"}, False),
        ({"blocked": "https://chrome"}, False),
        ({"blocked": INJECTING_DOMAINS[0]}, False),
        ({"document": ""}, False),
    ],
    ids=[
        "the page's own", "a browser's own page", "in a browser's own page",
        "a script of a page's frame", "a page's own data", "a longer name", "a name before another",
        "a host like a scheme", "no URL", "a frame of its own",
    ],
)  # fmt: skip
def test_what_only_looks_alike_is_the_pages(changes: dict[str, str], noise: bool) -> None:
    assert is_noise(violation(**changes)) is noise
