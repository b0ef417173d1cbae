"""What a full table forgets: keys that came once, then what is idle, and nothing that is busy."""

from sidecar.limits.bucket import SECOND_NS, Bucket, Limit
from sidecar.limits.table import BucketTable

LIMIT = Limit("address", "address", 10, 1, 20)


class Table(BucketTable):
    """A table whose buckets can be seen."""

    def __init__(self, max_keys: int) -> None:
        self.seen: dict[str, dict[str, Bucket]] = {}
        super().__init__(max_keys, self.seen)

    @property
    def entries(self) -> dict[str, Bucket]:
        return self.seen.get("address", {})


def ask(table: Table, key: str, now_ns: int) -> None:
    bucket = table.entries.get(key)
    if bucket is None:
        bucket = table.add(key, LIMIT, now_ns)
    else:
        bucket.reused = True
    bucket.spend(now_ns)


def test_a_flood_of_invented_keys_evicts_no_busy_one() -> None:
    table = Table(1000)
    busy = [f"busy-{number}" for number in range(500)]
    for round_number in range(2):
        for key in busy:
            ask(table, key, round_number)
    for number in range(20_000):
        now = number * 100_000
        ask(table, f"invented-{number}", now)
        if number % 40 == 0:
            ask(table, busy[number // 40 % 500], now)
    assert len(table) == 1000
    assert all(key in table.entries for key in busy)
    assert table.evicted == 20_000 - 500


def test_of_keys_in_use_a_full_one_goes_first() -> None:
    table = Table(10)
    for number in range(10):
        ask(table, str(number), 0)
        ask(table, str(number), 0)
    for number in (0, 1, 2, 4, 5, 6, 7, 8, 9):
        ask(table, str(number), SECOND_NS)
    ask(table, "new", SECOND_NS)
    assert "3" not in table.entries
    assert len(table) == 10


def test_where_all_are_busy_the_one_that_spent_the_least_of_the_first_goes() -> None:
    table = Table(4)
    for number in range(4):
        for _ in range(2 + (number != 2)):
            ask(table, str(number), 0)
    ask(table, "new", 0)
    assert set(table.entries) == {"0", "1", "3", "new"}
    ask(table, "newer", 0)
    assert "new" not in table.entries, "it came once only"


def test_the_table_is_bounded_whatever_comes() -> None:
    table = Table(50)
    for number in range(5000):
        for _ in range(number % 3 + 1):
            ask(table, str(number % 70), number)
        assert len(table) <= 50
    table.clear()
    assert len(table) == 0
    ask(table, "again", 0)
    assert list(table.entries) == ["again"]


def test_what_is_forgotten_is_found_by_nobody_and_makes_room_first() -> None:
    table = Table(10)
    for number in range(8):
        for _ in range(2):
            ask(table, str(number), 0)
    for number in range(0, 8, 2):
        table.forget(table.entries[str(number)])
    assert (sorted(table.entries), len(table)) == (["1", "3", "5", "7"], 4)
    ask(table, "0", 0)
    assert len(table) == 5, "it may come again"
    for number in range(100, 120):
        for _ in range(2):
            ask(table, str(number), 0)
        assert len(table) <= 10
    assert table.evicted == 24 + 1 - 10, "what was forgotten is counted as evicted by nobody"


def test_another_bound_evicts_what_is_beyond_it_a_few_at_a_time() -> None:
    table = Table(100)
    for number in range(100):
        ask(table, str(number), 0)
    table.use_bound(10)
    assert table.shrink(60, 0)
    assert len(table) == 40
    assert not table.shrink(60, 0)
    assert (len(table), table.evicted) == (10, 90)
    table.use_bound(12)
    ask(table, "a", 0)
    ask(table, "b", 0)
    assert len(table) == 12
