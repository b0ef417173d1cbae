"""The table has a bound, and a flood pushes itself out."""

from sidecar.csp.reports.store import MAX_DISTINCT, ReportStore, Seen


def seen(blocked: str, tenant: str = "a", at: float = 0.0, client: str = "c") -> Seen:
    return Seen(at, tenant, "https://a.example", "img-src", blocked, "enforce", "", "d", client)


def blocked(store: ReportStore, tenant: str) -> set[str]:
    return {key.blocked for key, _ in store.rows() if key.tenant == tenant}


def test_the_most_frequent_stands_first() -> None:
    store = ReportStore(max_rows=64, keep=3)
    for name in ("one", "two", "two"):
        store.add(seen(name))
    assert [(key.blocked, row.count) for key, row in store.rows()] == [("two", 2), ("one", 1)]


def test_a_flood_of_invented_origins_does_not_push_out_what_is_real() -> None:
    store = ReportStore(max_rows=64, keep=3)
    for at in range(2):
        store.add(seen("https://real.example", at=at))
    for number in range(10_000):
        store.add(seen(f"https://x{number}.example", at=10 + number))
    assert "https://real.example" in blocked(store, "a")
    assert len(store) <= 64
    assert len(store.latest) == 3
    assert store.pushed_out == 10_001 - len(store)
    assert store.violations["img-src", "enforce"] == 10_002, "the counts lose nothing"


def test_one_tenant_does_not_push_out_another() -> None:
    store = ReportStore(max_rows=16, keep=1)
    for number in range(3):
        store.add(seen(f"https://quiet{number}.example", tenant="quiet"))
    for tenant in "abcd":
        for number in range(100):
            store.add(seen(f"https://x{number}.example", tenant=tenant, at=number))
    assert blocked(store, "quiet") == {f"https://quiet{n}.example" for n in range(3)}
    assert len(store) <= 16


def test_distinct_clients_are_counted_up_to_a_bound() -> None:
    store = ReportStore(max_rows=16, keep=1)
    for number in range(1000):
        store.add(seen("x", client=str(number)))
    ((_, row),) = store.rows()
    assert (row.count, len(row.clients)) == (1000, MAX_DISTINCT)


def test_a_smaller_table_keeps_what_is_most_frequent() -> None:
    store = ReportStore(max_rows=64, keep=9)
    for number in range(40):
        for _ in range(1 + (number % 4 == 0)):
            store.add(seen(f"https://x{number}.example", tenant=f"t{number}"))
    store.use(max_rows=10, keep=2)
    assert len(store) == 10
    assert {row.count for _, row in store.rows()} == {2}
    assert (len(store.latest), store.pushed_out) == (2, 30)
    store.add(seen("https://new.example", tenant="t1"))
    assert len(store) <= 10
