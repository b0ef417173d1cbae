"""The table has a bound, and a flood pushes itself out."""

from sidecar.csp.reports.store import MAX_DISTINCT, Ledger, Seen


def seen(blocked: str, tenant: str = "a", at: float = 0.0, client: str = "c") -> Seen:
    return Seen(at, tenant, "https://a.example", "img-src", blocked, "enforce", "", "d", client)


def blocked(ledger: Ledger, tenant: str) -> set[str]:
    return {key.blocked for key, _ in ledger.rows() if key.tenant == tenant}


def test_the_most_frequent_stands_first() -> None:
    ledger = Ledger(max_rows=64, keep=3)
    for name in ("one", "two", "two"):
        ledger.add(seen(name))
    assert [(key.blocked, row.count) for key, row in ledger.rows()] == [("two", 2), ("one", 1)]


def test_a_flood_of_invented_origins_does_not_push_out_what_is_real() -> None:
    ledger = Ledger(max_rows=64, keep=3)
    for at in range(2):
        ledger.add(seen("https://real.example", at=at))
    for number in range(10_000):
        ledger.add(seen(f"https://x{number}.example", at=10 + number))
    assert "https://real.example" in blocked(ledger, "a")
    assert len(ledger) <= 64
    assert len(ledger.latest) == 3
    assert ledger.pushed_out == 10_001 - len(ledger)
    assert ledger.violations["img-src", "enforce"] == 10_002, "the counts lose nothing"


def test_one_tenant_does_not_push_out_another() -> None:
    ledger = Ledger(max_rows=16, keep=1)
    for number in range(3):
        ledger.add(seen(f"https://quiet{number}.example", tenant="quiet"))
    for tenant in "abcd":
        for number in range(100):
            ledger.add(seen(f"https://x{number}.example", tenant=tenant, at=number))
    assert blocked(ledger, "quiet") == {f"https://quiet{n}.example" for n in range(3)}
    assert len(ledger) <= 16


def test_distinct_clients_are_counted_up_to_a_bound() -> None:
    ledger = Ledger(max_rows=16, keep=1)
    for number in range(1000):
        ledger.add(seen("x", client=str(number)))
    ((_, row),) = ledger.rows()
    assert (row.count, len(row.clients)) == (1000, MAX_DISTINCT)
