"""What pages may load after a change, that they might not before."""

import pytest

from sidecar.config.differences_csp import csp_differences
from sidecar.config.load import parse_config
from tests.config.documents import MINIMAL

ONE = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def found(old: str, new: str) -> list[tuple[str, str, str]]:
    pair = (parse_config(MINIMAL + each + "\n", "test") for each in (old, new))
    return [(each.effect.word, each.where, each.text) for each in csp_differences(*pair)]


def profile(*policies: str, more: str = "") -> str:
    listed = ", ".join(f"{{{each}}}" for each in policies)
    return f"headers: {{csp: {{page: {{enforced: [{listed}]{more}}}}}}}"


def tenant(csp: str, more: str = ", allow_additions: [img-src]") -> str:
    page = profile("img-src: [a.example, b.example]", more=more)
    return f"{page}\ntenants: [{{tenant_id: {ONE}, domain: t.example, csp: {csp}}}]"


PAGE = "headers.csp.page"
CASES = [
    (profile("img-src: [a.example]"), profile("img-src: [a.example, b.example]"),
     [("widens", PAGE, "img-src allows b.example")]),
    (profile("img-src: [a.example, b.example]"), profile("img-src: [a.example]"),
     [("narrows", PAGE, "img-src no longer allows b.example")]),
    (profile("img-src: ['*.a.example']"), profile("img-src: [x.a.example]"),
     [("narrows", PAGE, "img-src no longer allows *.a.example")]),
    (profile("img-src: [a.example]", "img-src: [b.example]"), profile("img-src: [a.example]"),
     [("widens", f"{PAGE}.enforced[1]", "is removed: what it forbids is allowed")]),
    (profile("img-src: [a.example]"), profile("img-src: [a.example]", "img-src: [b.example]"),
     [("narrows", f"{PAGE}.enforced[1]", "is added")]),
    ("", profile("img-src: [a.example]"), [("other", PAGE, "is added")]),
    (profile("img-src: [a.example]"),
     profile("img-src: [a.example]", more=", allow_additions: [img-src]"),
     [("widens", f"{PAGE}.allow_additions", "was empty, is img-src")]),
    (profile("img-src: [a.example]"),
     profile("img-src: [a.example]", more=", referrer_policy: origin"),
     [("other", f"{PAGE}.referrer_policy", "was that of headers, is origin")]),
    (tenant("{}"), tenant("{page: {img-src: [c.example]}}"),
     [("widens", "tenants[t.example].csp.page", "img-src allows c.example")]),
    (tenant("{page: {img-src: [a.example]}}"), tenant("{}"),
     [("widens", "tenants[t.example].csp.page", "img-src allows b.example")]),
]  # fmt: skip


def test_a_route_s_other_profile_is_compared_by_what_it_allows() -> None:
    documents = (MINIMAL.replace("path_prefix: /", f"path_prefix: /, csp: {n}") for n in CHOICES)
    old, new, same = (parse_config(each, "test") for each in documents)
    assert [(each.effect.word, each.where, each.text) for each in csp_differences(old, new)] == [
        ("widens", "routes[api].csp", "is removed: what it forbids is allowed")
    ]
    assert not list(csp_differences(old, same))


CHOICES = ("shell", "none", "shell")


@pytest.mark.parametrize(("old", "new", "said"), CASES)
def test_what_a_page_may_load(old: str, new: str, said: list[tuple[str, str, str]]) -> None:
    assert [each for each in found(old, new) if each in said or each[0] == "widens"] == said


@pytest.mark.parametrize(
    "pair",
    [
        (profile("img-src: [a.example, b.example]"), profile("img-src: [b.example, a.example]")),
        (profile("img-src: [a.example]"), profile("img-src: [a.example]")),
    ],
)
def test_what_means_the_same_is_no_difference(pair: tuple[str, str]) -> None:
    assert found(*pair) == []
