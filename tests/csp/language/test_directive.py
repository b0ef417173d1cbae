"""One directive: its name, where each source has a meaning, and sources in combination."""

import pytest

from sidecar.csp.language import (
    DIRECTIVES,
    NONCE_SOURCE,
    SOURCE_LISTS,
    Directive,
    PolicyProblem,
    parse_directive,
)

HASH = "'sha256-" + "A" * 43 + "='"
WRONG: list[tuple[str, dict[str, tuple[str, ...]], PolicyProblem]] = [
    (
        "misspelt",
        {"scirpt-src": ("'self'",)},
        PolicyProblem("is no directive; did you mean script-src?", "scirpt-src"),
    ),
    ("nothing like it", {"zzz": ()}, PolicyProblem("is no directive", "zzz")),
    (
        "dropped by browsers",
        {"plugin-types": ("a/b",)},
        PolicyProblem("is no longer a directive; instead: object-src 'none'", "plugin-types"),
    ),
    (
        "an empty list",
        {"img-src": ()},
        PolicyProblem("is empty, which blocks everything: write \"'none'\"", "img-src"),
    ),
    (
        "'none' beside others",
        {"img-src": ("'none'", "a.example")},
        PolicyProblem("'none' stands alone: beside others it is passed over", "img-src"),
    ),
    (
        "twice",
        {"img-src": ("a.example", "A.example")},
        PolicyProblem("a.example stands here twice", "img-src", 1),
    ),
    (
        "'unsafe-inline' beside a nonce",
        {"script-src": ("'unsafe-inline'", NONCE_SOURCE)},
        PolicyProblem(
            "'unsafe-inline' beside a nonce, a hash or 'strict-dynamic': today's browsers pass "
            "over it, and for old ones it takes the protection away",
            "script-src",
        ),
    ),
    (
        "'unsafe-inline' beside a hash",
        {"style-src": (HASH, "'unsafe-inline'")},
        PolicyProblem(
            "'unsafe-inline' beside a nonce, a hash or 'strict-dynamic': today's browsers pass "
            "over it, and for old ones it takes the protection away",
            "style-src",
        ),
    ),
    (
        "'strict-dynamic' alone",
        {"script-src": ("'strict-dynamic'", "a.example")},
        PolicyProblem(
            "'strict-dynamic' without a nonce or a hash blocks every script", "script-src"
        ),
    ),
    (
        "'unsafe-hashes' alone",
        {"script-src": ("'unsafe-hashes'",)},
        PolicyProblem("'unsafe-hashes' without a hash means nothing", "script-src"),
    ),
    (
        "a nonce for images",
        {"img-src": (NONCE_SOURCE,)},
        PolicyProblem("a nonce means nothing in img-src", "img-src", 0),
    ),
    (
        "a keyword of scripts for connections",
        {"connect-src": ("'self'", "'unsafe-eval'")},
        PolicyProblem("'unsafe-eval' means nothing in connect-src", "connect-src", 1),
    ),
    (
        "a keyword that workers don't know",
        {"worker-src": ("'self'", "'wasm-unsafe-eval'")},
        PolicyProblem("'wasm-unsafe-eval' means nothing in worker-src", "worker-src", 1),
    ),
    (
        "a bad source, with its place",
        {"img-src": ("a.example", "self")},
        PolicyProblem("self without quotes is the name of a host; write \"'self'\"", "img-src", 1),
    ),
]


@pytest.mark.parametrize(("given", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong(given: dict[str, tuple[str, ...]], said: PolicyProblem) -> None:
    ((name, values),) = given.items()
    assert parse_directive(name, values) == (None, [said])


def test_every_problem_has_its_position() -> None:
    _, wrong = parse_directive("img-src", ("self", "a.example", "'none'", "a.example"))
    assert [problem.position for problem in wrong] == [0, 3, None]


EVERYWHERE = ("'self'", "a.example", "https:")
HOMES = [
    ("'unsafe-inline'", {"script-src", "script-src-elem", "script-src-attr", "style-src",
                         "style-src-elem", "style-src-attr", "default-src"}),
    ("'unsafe-eval'", {"script-src", "script-src-elem", "script-src-attr", "style-src",
                       "default-src"}),
    ("'report-sha256'", {"script-src", "script-src-elem", "script-src-attr", "default-src"}),
    ("'unsafe-webtransport-hashes'", {"connect-src", "default-src"}),
    ("'unsafe-allow-redirects'", set()),
    (HASH, {"script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem",
            "style-src-attr", "default-src"}),
    *((source, set(SOURCE_LISTS)) for source in EVERYWHERE),
]  # fmt: skip


@pytest.mark.parametrize(("source", "homes"), HOMES, ids=[home[0] for home in HOMES])
def test_a_source_has_a_meaning_in_these_and_in_no_other(source: str, homes: set[str]) -> None:
    assert {name for name in SOURCE_LISTS if parse_directive(name, (source,))[0]} == homes


GOOD = [
    ("img-src", ("'self'", "CDN.example"), ("'self'", "cdn.example")),
    ("script-src", (NONCE_SOURCE, "'strict-dynamic'"), (NONCE_SOURCE, "'strict-dynamic'")),
    ("script-src", (HASH, "'unsafe-hashes'"), (HASH, "'unsafe-hashes'")),
    ("sandbox", (), ()),
    ("report-to", ("csp",), ("csp",)),
]


@pytest.mark.parametrize(("name", "values", "kept"), GOOD)
def test_what_is_good_is_kept_as_a_header_has_it(
    name: str, values: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    directive, wrong = parse_directive(name, values)
    assert wrong == []
    assert directive is not None
    assert isinstance(directive, Directive)
    assert (directive.name, directive.values) == (name, kept)
    assert bool(directive.sources) is (name in SOURCE_LISTS)


def test_no_name_stands_twice() -> None:
    assert len(set(DIRECTIVES)) == len(DIRECTIVES)
