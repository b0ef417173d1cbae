"""The parts of RESULTS.md, each a list of Markdown lines."""

from collections.abc import Sequence
from typing import Any

NAMES = {
    "ours-h2": "sidecar",
    "ours-grpcio": "sidecar on grpcio",
    "floor": "constant reply",
    "naive": "naive grpc.aio + PyJWT",
}
KINDS = {
    "warm_us": "warm: the token was seen before",
    "single_us": "warm, one call at a time",
    "cold_us": "cold: the token is new",
    "forged_us": "denied: forged signature",
    "missing_us": "denied: no token",
}
KEPT = (
    ("rss_idle_mb", "whole sidecar, one worker, idle", "MB"),
    ("rss_worker_mb", "each further Check worker", "MB"),
    ("bytes_per_token", "a remembered token, by the allocator", "bytes"),
    ("rss_bytes_per_token", "a remembered token, by the kernel", "bytes"),
    ("rss_bytes_per_connection", "a connection", "bytes"),
)
NOISY = 0.15
Cells = Sequence[object]


def table(heads: Sequence[str], rows: Sequence[Cells]) -> list[str]:
    """Write a table; the first column is words, the others are figures."""
    marks = ["---", *["---:"] * (len(heads) - 1)]
    lines = [heads, marks, *[[_cell(each) for each in row] for row in rows]]
    return [f"| {' | '.join(line)} |" for line in lines]


def direct_page(results: dict[str, Any]) -> list[str]:
    """(a) One Check, asked directly, and the flood."""
    direct, flood = results["direct"], results["flood"]
    lines = [
        "",
        "## One Check, asked directly",
        "",
        (
            f"CPU of the server per Check, µs; medians of {direct['rounds']} alternating runs. The "
            f"bare ES256 verification takes {direct['verify_us']:g} µs. Audit lines written for "
            f"what the sidecar answered meanwhile: {direct['audit_lines_share']:.0%}."
        ),
        "",
        *table(
            ("Check", *NAMES.values()),
            [
                (words, *[direct[kind].get(variant) for variant in NAMES])
                for kind, words in KINDS.items()
                if kind in direct
            ],
        ),
        *noise_line(direct["noise"]),
    ]
    if "per_second" in direct:
        lines += [
            "",
            "Warm Checks a second by h2load, 4 connections with 16 calls each: "
            + ", ".join(f"{NAMES[name]} {value:,}" for name, value in direct["per_second"].items())
            + ".",
        ]
    lines += [
        "",
        "Warm Checks by the number of different tokens, in random order:",
        "",
        *table(
            ("Tokens", "µs"),
            [(_thousands(name), value) for name, value in direct["distinct_us"].items()],
        ),
    ]
    if sizes := direct.get("token_bytes_us"):
        lines += [
            "",
            "By the size of the token:",
            "",
            *table(
                ("Bytes of token", "warm, µs", "cold, µs"),
                [(name, row["warm"], row["cold"]) for name, row in sizes.items()],
            ),
        ]
    return [*lines, *flood_page(flood)]


def flood_page(flood: dict[str, Any]) -> list[str]:
    """Warm Checks while forged tokens come without end."""
    return [
        "",
        "### In a flood of forged tokens",
        "",
        (
            f"{flood['shape']}. {flood['forged_per_second']:,} forged tokens a second were refused "
            "meanwhile. Latency is the client's, from when a Check was due."
        ),
        "",
        *table(
            ("Warm Checks", "p50, µs", "p99, µs", "p99 of each window, µs", "client late, p99, µs"),
            [
                (
                    words,
                    flood[f"p50_{key}_us"],
                    flood[f"p99_{key}_us"],
                    " ".join(str(each) for each in flood[f"windows_{key}_us"]),
                    flood["client_late_p99_us"][words],
                )
                for words, key in (("at rest", "at_rest"), ("flooded", "flooded"))
            ],
        ),
    ]


def envoy_page(envoy: dict[str, Any]) -> list[str]:
    """(b) Through the real Envoy."""
    throughput = envoy.get("throughput", {})
    rows = []
    for name, cpu in envoy["cpu_us"].items():
        late, rate = envoy["latency"][name], throughput.get(name, {})
        spread = envoy.get("spread_us", {}).get(name)
        rows.append(
            (
                name,
                cpu["envoy"],
                cpu["server"] or None,
                round(cpu["envoy"] + cpu["server"], 1),
                None if spread is None else f"{spread['least']:g} to {spread['most']:g}",
                late["p50_us"],
                late["p99_us"],
                late.get("p999_us"),
                rate.get("h2load_per_second"),
                rate.get("wrk_per_second"),
            )
        )
    failed = {
        name: sum(value for key, value in rate.items() if key.endswith("_failed"))
        for name, rate in throughput.items()
    }
    latency = envoy["latency"]
    lateness = max(row["client_late_p99_us"] for row in latency.values() if isinstance(row, dict))
    return [
        "",
        "## Through Envoy",
        "",
        (
            "One worker thread, 20 headers, a token seen before, a direct response behind the "
            f"filter. Latency at {latency['requests_per_second']:.0f} requests a second, open "
            f"loop, the client at most {lateness} µs late (p99). Others' ext_authz servers through "
            "the same Envoy: `make bench-peers` builds them with Go and prints the same figures."
        ),
        "",
        *table(
            (
                "Filter",
                "CPU of Envoy, µs",
                "of the server",
                "together",
                "its range",
                "p50, µs",
                "p99",
                "p99.9",
                "requests/s, h2load",
                "requests/s, wrk",
            ),
            rows,
        ),
        *noise_line(envoy["noise"]),
        *(
            line
            for name, count in failed.items()
            if count
            for line in (
                "",
                f"At full load {count:,} requests of {name} were not answered with 200.",
            )
        ),
    ]


def sds_page(sds: dict[str, Any]) -> list[str]:
    """(c) Certificates."""
    stream = sds["delta_ads"]
    rows: list[Cells] = []
    for key, words in (
        ("on_demand_from_memory", "the sidecar has the certificate"),
        ("on_demand_from_vault", "the sidecar gets it from Vault first"),
    ):
        part = sds[key]
        if "skipped" in part:
            rows.append((words, f"not measured: {part['skipped']}", None, None, None))
        else:
            cold, known = part["cold"], part["known"]
            rows.append((words, cold["p50_us"], cold["p99_us"], known["p50_us"], known["p99_us"]))
    return [
        "",
        "## Certificates",
        "",
        (
            f"Over delta ADS, {stream['names']:,} names on one stream, each answer acknowledged: "
            f"{stream['first_per_second']:,} certificates a second when first asked for, "
            f"{stream['renewed_per_second']:,} when all are renewed at once; "
            f"{stream['cpu_us']:,} µs of CPU each."
        ),
        "",
        "A TLS handshake through Envoy, which asks by SNI:",
        "",
        *table(("Certificate", "first, p50, µs", "p99", "again, p50, µs", "p99"), rows),
    ]


def memory_page(memory: dict[str, Any]) -> list[str]:
    """(d) Memory."""
    lines = [
        "",
        "## Memory",
        "",
        *table(
            ("What", "Resident"),
            [(words, f"{memory[key]:,} {unit}") for key, words, unit in KEPT if key in memory],
        ),
    ]
    if churn := memory.get("churn"):
        lines += [
            "",
            (
                f"An hour's churn: {churn['tokens']:,} new tokens "
                f"({churn['new_tokens_per_second']} a second, each asked for "
                "twice, each good for 15 minutes), by a clock that jumps. "
                f"Growth over its last half: {churn['growth_of_last_half_mb']} MB."
            ),
            "",
            *table(
                ("Minute", "resident, MB", "tokens remembered"),
                [(each["minute"], each["rss_mb"], each["remembered"]) for each in churn["marks"]],
            ),
        ]
    return lines


def noise_line(noise: dict[str, float]) -> list[str]:
    """Say which figures come from runs that lay far apart."""
    far = [
        f"{name} ±{share:.0%}"
        for name, share in sorted(noise.items(), key=lambda item: -item[1])
        if share > NOISY
    ]
    if not far:
        return []
    return ["", f"Half of these runs lay further apart than ±{NOISY:.0%}: {', '.join(far[:6])}."]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _thousands(name: str) -> str:
    count, comma, rest = name.partition(",")
    return f"{int(count):,}{comma}{rest}"
