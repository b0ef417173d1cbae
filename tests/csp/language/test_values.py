"""The values of directives that hold no sources."""

import pytest

from sidecar.csp.language.values import CHECKS, check_values

QUOTED = "'none' stands alone: beside others it is passed over"
WRONG: list[tuple[str, str, tuple[str, ...], int | None, str]] = [
    ("upgrade with a value", "upgrade-insecure-requests", ("1",), None, "holds nothing: write []"),
    ("Trusted Types for styles", "require-trusted-types-for", ("'style'",), None,
     "holds exactly \"'script'\""),
    ("for nothing", "require-trusted-types-for", (), None, "holds exactly"),
    ("for scripts twice", "require-trusted-types-for", ("'script'",) * 2, None, "holds exactly"),
    ("a policy's name with a space", "trusted-types", ("a", "a b"), 1, "holds a space, a control"),
    ("a policy's name in quotes", "trusted-types", ("'a'",), 0, "'a' is no name of a policy"),
    ("no Trusted Types and one", "trusted-types", ("'none'", "a"), None, QUOTED),
    ("a sandbox's token misspelt", "sandbox", ("allow-forms", "allow-script"), 1,
     "allow-script lifts no restriction of a sandbox; did you mean allow-scripts?"),
    ("a token like none", "sandbox", ("zzz",), 0, "zzz lifts no restriction of a sandbox"),
    ("webrtc without quotes", "webrtc", ("block",), None,
     "holds exactly \"'allow'\" or \"'block'\""),
    ("no endpoint", "report-to", (), None, "holds the name of one endpoint"),
    ("two endpoints", "report-to", ("a", "b"), None, "holds the name of one endpoint"),
    ("an endpoint in brackets", "report-to", ("(a)",), None, "holds the name of one endpoint"),
    ("a report URL without its scheme", "report-uri", ("/r", "//a.example/x"), 1,
     "is neither http(s)://host/path nor /path"),
    ("a report URL without a host", "report-uri", ("https:///x",), 0, "is neither http(s)://host"),
    ("a relative report URL", "report-uri", ("r",), 0, "is neither http(s)://host/path nor /path"),
    ("a report URL with a fragment", "report-uri", ("/r#x",), 0, "is neither http(s)://host"),
    ("no report URL", "report-uri", (), None, "holds one URL or more"),
    ("a break-out", "report-uri", ("/r;script-src", "*"), 0, "';' ends a directive"),
    ("a break-out of the policy", "report-to", ("a,b",), 0, "',' ends a policy"),
    ("nothing in quotes", "sandbox", ("",), 0, "is empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "position", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_wrong(name: str, values: tuple[str, ...], position: int | None, said: str) -> None:
    ((found, message),) = check_values(name, values)
    assert found == position
    assert message.startswith(said)


GOOD: list[tuple[str, tuple[str, ...]]] = [
    ("upgrade-insecure-requests", ()),
    ("require-trusted-types-for", ("'script'",)),
    ("trusted-types", ()),
    ("trusted-types", ("'none'",)),
    ("trusted-types", ("a-b#c=d_e/f@g.h%i", "'allow-duplicates'", "*")),
    ("sandbox", ()),
    ("sandbox", ("allow-forms", "allow-top-navigation-to-custom-protocols")),
    ("webrtc", ("'allow'",)),
    ("webrtc", ("'block'",)),
    ("report-to", ("csp-endpoint_1",)),
    ("report-uri", ("/r", "/r?a=b", "https://a.example", "http://a.example:80/r")),
]


@pytest.mark.parametrize(("name", "values"), GOOD)
def test_good(name: str, values: tuple[str, ...]) -> None:
    assert check_values(name, values) == []


def test_each_has_a_good_row_and_a_bad_one() -> None:
    assert {name for name, _ in GOOD} == {row[1] for row in WRONG} == set(CHECKS)
