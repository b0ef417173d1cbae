"""One clear answer for every request, and a number for every report."""

from typing import Any

import pytest

from sidecar.csp.reports.intake import Rates, ReportIntake, client_network
from sidecar.csp.reports.parse import LEGACY_TYPE, REPORTING_TYPE
from sidecar.csp.reports.store import ReportStore, Seen
from sidecar.transport.http1_messages import Request
from tests.csp.reports.bodies import GOOD, HOST, TENANT, legacy, modern, raw

OTHER_TENANT = "00000000-0000-4000-8000-000000000002"
MANY = Rates(1e6, 1e6, 1e6, 1e6)


class DrivenIntake:
    """An intake with a clock to turn."""

    def __init__(self, rates: Rates = MANY) -> None:
        self.moment = 1000.0
        self.forwarded: list[Seen] = []
        self.store = ReportStore(max_rows=64, keep=10)
        self.intake = ReportIntake(
            self.store,
            rates,
            domain_owners={HOST: TENANT, "other.example": OTHER_TENANT},
            hash_key=b"k" * 32,
            now=lambda: self.moment,
            clock=lambda: self.moment,
            forward=self.forwarded.append,
        )

    def send(
        self, kind: str, body: bytes, host: str = HOST, client: str = "192.0.2.1", **extra: str
    ) -> int:
        headers = (
            (b"content-type", kind.encode()),
            (b"host", host.encode()),
            (b"x-septem-client", client.encode()),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in extra.items()),
        )
        return self.intake.take(Request("POST", "/r", "", body, headers)).status


@pytest.mark.parametrize(("kind", "body"), GOOD.values(), ids=GOOD)
def test_a_report_is_counted_kept_and_forwarded(kind: str, body: bytes) -> None:
    driven = DrivenIntake()
    assert driven.send(f"{kind}; charset=utf-8", body, host=f"{HOST.upper()}:8443") == 204
    assert driven.store.violations == {("script-src-elem", "enforce"): 1}
    (seen,) = driven.store.latest
    assert seen.tenant == TENANT
    assert seen.blocked == "https://evil.example"
    assert driven.forwarded == [seen]
    assert "orders" not in repr(seen)
    assert "192.0.2.1" not in repr(seen)


ANSWERS = [
    ("plain JSON", "application/json", raw(legacy()), 415),
    ("a form", "application/x-www-form-urlencoded", b"a=b", 415),
    ("no type", "", raw(legacy()), 415),
    ("a single report of another kind", LEGACY_TYPE, raw({"type": "deprecation"}), 204),
    ("no object of ours", LEGACY_TYPE, raw({"csp": {}}), 400),
    ("garbage", REPORTING_TYPE, b"\x00", 400),
    ("deep", REPORTING_TYPE, b"[" * 60_000, 400),
    ("nothing readable", REPORTING_TYPE, raw([1, 2]), 400),
    ("an empty batch", REPORTING_TYPE, b"[]", 204),
    ("other types only", REPORTING_TYPE, raw([{"type": "deprecation"}]), 204),
    ("one readable", REPORTING_TYPE, raw([1, modern()]), 204),
]


@pytest.mark.parametrize(
    ("kind", "body", "status"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
def test_answers(kind: str, body: bytes, status: int) -> None:
    assert DrivenIntake().send(kind, body) == status


def test_the_tenant_is_the_one_whose_domain_was_asked() -> None:
    """Neither a header nor the report names it."""
    driven = DrivenIntake()
    driven.send(LEGACY_TYPE, raw(legacy()), x_tenant_id=OTHER_TENANT)
    assert driven.store.latest[-1].tenant == TENANT
    driven.send(LEGACY_TYPE, raw(legacy()), host="other.example")
    assert driven.intake.reports["foreign_document"] == 1
    driven.send(LEGACY_TYPE, raw(legacy(**{"document-uri": "https://app.example/"})), "app.example")
    assert driven.store.latest[-1].tenant == ""
    assert len(driven.store.latest) == 2


NOISE: list[tuple[str, dict[str, Any]]] = [
    ("Chromium", {"blocked-uri": "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb/x.js"}),
    ("Chromium, reduced", {"blocked-uri": "chrome-extension"}),
    ("Firefox", {"source-file": "moz-extension://0c9b/content.js"}),
    ("Safari", {"source-file": "safari-web-extension://A1/x.js"}),
    ("Safari, masked", {"source-file": "webkit-masked-url://hidden/"}),
    ("about:", {"blocked-uri": "about:blank"}),
    ("a page of the browser's own", {"document-uri": "about:reader?url=https%3A%2F%2Fa.example"}),
    ("an extension's blob", {"blocked-uri": "blob:moz-extension://0c9b/0f3c"}),
    ("a document of an extension's", {"document-uri": "blob:chrome-extension://abcdef/0f3c"}),
    ("an extension in a frame", {"document-uri": "about", "source-file": "moz-extension://0c9b/x"}),
    ("an extension's frame", {"document-uri": "about", "referrer": "chrome-extension://abcdef/"}),
    ("Kaspersky", {"blocked-uri": "https://gc.kis.v2.scr.kaspersky-labs.com/x/main.js"}),
    ("AdGuard", {"blocked-uri": "https://local.adguard.org/"}),
]


@pytest.mark.parametrize("changes", [n[1] for n in NOISE], ids=[n[0] for n in NOISE])
def test_extensions_noise_is_counted_apart(changes: dict[str, Any]) -> None:
    driven = DrivenIntake()
    assert driven.send(LEGACY_TYPE, raw(legacy(**changes))) == 204
    assert driven.intake.reports == {
        "extension": 1, "malformed": 0, "other_type": 0, "over_batch": 0,
    }  # fmt: skip
    assert len(driven.store) == 0


OWN_FRAMES: list[tuple[str, dict[str, Any]]] = [
    ("srcdoc", {"document-uri": "about", "referrer": f"https://{HOST}/orders?id=7"}),
    ("a sandboxed srcdoc", {"document-uri": "about", "referrer": f"https://{HOST}/"}),
    ("a script in it", {"document-uri": "about", "source-file": "about", "blocked-uri": "inline"}),
    ("a script in it, whole", {"document-uri": "about:srcdoc", "source-file": "about:srcdoc"}),
    ("no referrer", {"document-uri": "about:srcdoc", "referrer": ""}),
    ("a blank frame", {"document-uri": "about:blank"}),
    ("a blob", {"document-uri": "blob", "referrer": f"https://{HOST}/orders"}),
    ("a blob, whole", {"document-uri": f"blob:https://{HOST}/0f3c"}),
    ("data", {"document-uri": "data"}),
]


@pytest.mark.parametrize("changes", [o[1] for o in OWN_FRAMES], ids=[o[0] for o in OWN_FRAMES])
def test_a_frame_of_the_pages_own_is_the_page(changes: dict[str, Any]) -> None:
    """Chromium names such a document by its scheme, and the page as its referrer."""
    driven = DrivenIntake()
    assert driven.send(LEGACY_TYPE, raw(legacy(**changes)), host=f"{HOST}:443") == 204
    (seen,) = driven.store.latest
    assert (seen.document, seen.tenant) == (f"https://{HOST}", TENANT)


@pytest.mark.parametrize(
    "changes",
    [
        {"document-uri": "about", "referrer": "https://other.example/"},
        {"document-uri": "blob:https://other.example/0f3c", "referrer": f"https://{HOST}/"},
        {"document-uri": "data", "referrer": "https://other.example/"},
        {"document-uri": "unknown"},
    ],
)
def test_a_frame_of_another_hosts_page_is_not_ours(changes: dict[str, Any]) -> None:
    driven = DrivenIntake()
    assert driven.send(LEGACY_TYPE, raw(legacy(**changes))) == 204
    assert driven.intake.reports["foreign_document"] == 1
    assert len(driven.store) == 0


def test_a_frame_without_a_page_is_nobodys_where_no_host_was_asked() -> None:
    driven = DrivenIntake()
    driven.send(LEGACY_TYPE, raw(legacy(**{"document-uri": "about"})), host="")
    assert driven.intake.reports["foreign_document"] == 1


@pytest.mark.parametrize("blocked", ["https://notkaspersky-labs.com/x", "https://about.example/"])
def test_what_only_looks_like_noise_is_not(blocked: str) -> None:
    driven = DrivenIntake()
    driven.send(LEGACY_TYPE, raw(legacy(**{"blocked-uri": blocked})))
    assert len(driven.store) == 1


def test_a_client_over_its_rate_takes_nothing_from_the_others() -> None:
    driven = DrivenIntake(
        Rates(per_second=1, burst=20, per_client_per_second=1, per_client_burst=5)
    )
    answers = [driven.send(*GOOD["legacy"], client="192.0.2.1") for _ in range(1000)]
    assert answers == [204] * 5 + [429] * 995
    assert [driven.send(*GOOD["legacy"], client=f"192.0.2.{n}") for n in range(2, 17)] == [204] * 15
    assert driven.send(*GOOD["legacy"], client="192.0.2.99") == 429, "and all together have a bound"
    driven.moment += 2
    assert driven.send(*GOOD["legacy"], client="192.0.2.99") == 204


def test_a_refusal_over_the_rate_says_when_to_come_back() -> None:
    driven = DrivenIntake(Rates(1, 1, 1, 1))
    request = Request("POST", "/r", "", b"", ())
    driven.intake.take(request)
    answer = driven.intake.take(request)
    assert (answer.status, answer.headers) == (429, (("retry-after", "10"),))


def test_clients_are_told_apart_by_what_they_cannot_change_at_will() -> None:
    def same(one: str, other: str) -> bool:
        return client_network(one) == client_network(other)

    assert same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9")
    assert not same("2001:db8:1:2::1", "2001:db8:1:3::1")
    assert not same("192.0.2.1", "192.0.2.2")
    assert same("::ffff:192.0.2.1", "192.0.2.1")
    assert client_network("<script>") == client_network("") == "unknown"


def test_distinct_pages_and_clients_are_counted_without_being_known() -> None:
    driven = DrivenIntake()
    for number in range(6):
        url = f"https://{HOST}/orders/{number % 3}?x={number}"
        report = legacy(**{"document-uri": url})
        driven.send(LEGACY_TYPE, raw(report), client=f"192.0.2.{number % 2}")
    (row,) = driven.store.document()["rows"]
    assert (row["count"], row["documents"], row["clients"]) == (6, 3, 2)
