"""Tables of docs/scale.md, from the figures of a run and of the run before the changes. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.scale.calls import certificate_calls, growth

BEGIN, END = "<!-- figures of make scale -->", "<!-- end of the figures -->"
Results = Mapping[str, Any]
_Row = tuple[str, Callable[[Results], float | str]]


def _each(phase: str) -> Callable[[Results], float]:
    """Return calls for each sidecar in a phase."""
    return lambda fleet: round(int(fleet[phase]["calls"]) / int(fleet["sidecars"]), 1)


def _orders_for_each_name(fleet: Results) -> float:
    return round(int(fleet["names"]["orders"]) / int(fleet["names_on_demand"]), 2)


def _calls_for_each_name(fleet: Results) -> float:
    """Return the calls that have to do with certificates, for each name and sidecar."""
    asked = fleet["names_on_demand"] * fleet["sidecars"]
    return round(certificate_calls(fleet["names"]["kinds"]) / int(asked), 1)


def _noticed(phase: str) -> Callable[[Results], str]:
    return lambda fleet: _seconds(fleet[phase]["noticed_seconds"])


def _served(phase: str) -> Callable[[Results], str]:
    return lambda fleet: _seconds(fleet[phase]["served_seconds"])


def _seconds(spread: Mapping[str, float]) -> str:
    return f"{spread['half']:.1f} / {spread['all']:.1f}" if spread else "not all"


def _a_minute(*place: str) -> Callable[[Results], float]:
    """Return the calls a minute of one sidecar, by where the summary is in the results."""

    def figure(fleet: Results) -> float:
        found: Any = fleet
        for key in place:
            found = found[key]
        return round(int(found["calls"]) * 60 / float(found["seconds"]) / int(fleet["sidecars"]), 1)

    return figure


def _outage(mode: str, part: str, figure: str) -> Callable[[Results], float]:
    return lambda fleet: fleet[mode][part][figure]


def _kilobytes_a_minute(fleet: Results) -> float:
    return round(int(fleet["steady"]["received_bytes_a_second"]) * 0.06 / int(fleet["sidecars"]), 1)


def _busiest_when_unsealed(fleet: Results) -> float:
    return round(int(fleet["sealed"]["after"]["busiest_second"]) / int(fleet["sidecars"]), 2)


_ROWS: tuple[_Row, ...] = (
    ("start of all at once: calls for each sidecar", _each("start")),
    ("steady: calls a minute of one sidecar", _a_minute("steady")),
    (
        "steady: busiest second ÷ mean second",
        lambda fleet: fleet["steady"]["busiest_over_mean"],
    ),
    ("steady: kB a minute for one sidecar", _kilobytes_a_minute),
    ("after a rotation of the key: calls a minute of one sidecar", _a_minute("after_rotation")),
    ("one name asked of all at once: orders", _orders_for_each_name),
    ("the same: calls for each sidecar", _calls_for_each_name),
    ("a rotated signing key: seconds until half / all", _noticed("key_rotated")),
    ("a revocation: seconds until half / all", _noticed("revoked")),
    (
        "a shared certificate renewed by all at once: orders",
        lambda f: f["certificate_renewed"]["orders"],
    ),
    (
        "the same: calls for each sidecar",
        lambda fleet: round(
            certificate_calls(fleet["certificate_renewed"]["kinds"]) / fleet["sidecars"], 1
        ),
    ),
    ("the same: seconds until half / all serve it", _served("certificate_renewed")),
    ("Vault sealed (503): calls a minute of one sidecar", _a_minute("sealed", "during")),
    (
        "the same: busiest second ÷ mean second",
        _outage("sealed", "during", "busiest_over_mean"),
    ),
    ("unsealed: calls of one sidecar in the busiest second", _busiest_when_unsealed),
    (
        "unsealed: seconds until half / all are well",
        lambda fleet: _seconds(fleet["sealed"]["well_again_seconds"]),
    ),
    ("Vault limits (429): calls a minute of one sidecar", _a_minute("limited", "during")),
)


def fleet_table(now: Results, before: Results | None) -> list[str]:
    """Return the table of a fleet's figures, beside those of before where there are any."""
    earlier = [f"before, {before['sidecars']} sidecars"] if before else []
    head = ["", *earlier, f"now, {now['sidecars']} sidecars"]
    lines = [_row(head), _row(["---"] * len(head))]
    for words, figure in _ROWS:
        cells = [words, *([str(figure(before))] if before else []), str(figure(now))]
        lines.append(_row(cells))
    return lines


def kinds_table(now: Results, before: Results | None) -> list[str]:
    """Return the steady calls a minute of one sidecar, by what they are for."""

    def a_minute(fleet: Results) -> dict[str, float]:
        steady = fleet["steady"]
        share = 60 / steady["seconds"] / fleet["sidecars"]
        return {kind: round(count * share, 1) for kind, count in steady["kinds"].items()}

    after, earlier = a_minute(now), a_minute(before) if before else {}
    names = sorted(
        {*after, *earlier}, key=lambda kind: -max(after.get(kind, 0), earlier.get(kind, 0))
    )
    head = ["calls a minute of one sidecar", *(["before"] if before else []), "now"]
    lines = [_row(head), _row(["---"] * len(head))]
    for kind in names:
        old = [str(earlier.get(kind, 0))] if before else []
        lines.append(_row([kind, *old, str(after.get(kind, 0))]))
    return lines


def series_table(fleets: Sequence[Results]) -> list[str]:
    """Return what grows with the number of sidecars, and how."""
    sizes = [fleet["sidecars"] for fleet in fleets]
    figures: tuple[_Row, ...] = (
        ("steady: Vault's calls a second", lambda f: f["steady"]["calls_a_second"]),
        ("steady: calls a minute of one sidecar",
         lambda f: round(f["steady"]["calls_a_second"] * 60 / f["sidecars"], 1)),
        ("CA's orders for one name", _orders_for_each_name),
        ("CA's orders for a renewal", lambda f: f["certificate_renewed"]["orders"]),
        ("start: calls for each sidecar", _each("start")),
    )  # fmt: skip
    head = ["sidecars", *map(str, sizes), "grows"]
    lines = [_row(head), _row(["---"] * len(head))]
    for words, figure in figures:
        found = [float(figure(fleet)) for fleet in fleets]
        lines.append(_row([words, *map(_number, found), growth(sizes, found)]))
    return lines


def names_tables(found: Results) -> list[str]:
    """Return what grows with the number of domains and of names."""
    parts = (
        ("registered", "registered domains (a file)", (
            ("start: CPU seconds", "start_cpu_seconds"),
            ("memory grown by the start, MB", "rss_mb_grown"),
        )),
        ("stored", "names on demand, stored", (
            ("memory of the process, MB", "rss_mb_with_names"),
            ("memory of each name, kB", "names_rss_kb_each"),
            ("CPU of each name, ms", "names_cpu_ms_each"),
            ("calls to Vault for each name", "names_calls_each"),
        )),
        ("listed", "domains below a prefix of Vault", (
            ("bytes of one list", "list_bytes"),
            ("lists a minute at a poll of 1 s", "lists_a_minute_at_1_s"),
            ("all held by clients: calls a minute, at a TTL of 10 s", "held_calls_a_minute"),
            ("the same: bytes a minute", "held_bytes_a_minute"),
        )),
    )  # fmt: skip
    lines: list[str] = []
    for part, title, rows in parts:
        steps = found[part]
        sizes = [step[part] for step in steps]
        head = [title, *(f"{size:,}" for size in sizes), "grows"]
        lines += ["", _row(head), _row(["---"] * len(head))]
        for words, key in rows:
            figures = [float(step[key]) for step in steps]
            lines.append(_row([words, *map(_number, figures), growth(sizes, figures)]))
    return lines[1:]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _series(fleets: Sequence[Results]) -> list[str]:
    """Return the part on the number of sidecars; of one fleet nothing can be said."""
    if len(fleets) < 2:
        return []
    return ["**By the number of sidecars**", "", *series_table(fleets), ""]


def page(results: Results, before: Results | None) -> str:
    """Return all tables as the part of docs/scale.md between its marks."""
    now = results["fleets"][-1]
    old = before["fleets"][-1] if before is not None else None
    lines = [
        "**{sidecars} sidecars on one Vault**, {revocation_entries} revocation entries".format(
            **now
        ),
        "",
        *fleet_table(now, old),
        "",
        *kinds_table(now, old),
        "",
        *_series(results["fleets"]),
        "**By the number of domains and names**, one sidecar",
        "",
        *names_tables(results["growth"]),
    ]
    return "\n".join(lines)


def put_between_marks(text: str, tables: str) -> str:
    """Return a document with other tables between its marks."""
    head, mark, rest = text.partition(BEGIN)
    _, other, tail = rest.partition(END)
    if not mark or not other:
        raise ValueError("the document has no marks for the figures")
    return f"{head}{BEGIN}\n{tables}\n{END}{tail}"
