"""Words and tables from results: what README, RESULTS.md and the picture show.

Usage: python -m bench.report [RESULTS.json]: writes bench/RESULTS.md, bench/results.svg
and the README's section anew from bench/results.json. A test holds them together.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.machine import QUIET_LOAD
from bench.plot import draw, panels_of
from bench.sections import direct_page, envoy_page, memory_page, sds_page, table
from bench.targets import TARGETS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results.json"
PAGE, PICTURE, README = ROOT / "bench/RESULTS.md", ROOT / "bench/results.svg", ROOT / "README.md"
BEGIN, END = "<!-- bench:begin, written by python -m bench.report -->", "<!-- bench:end -->"
Results = dict[str, Any]


def readme_section(results: Results) -> str:
    """Write what README shows."""
    direct = results["direct"]
    warm, cold = direct["warm_us"], direct["cold_us"]
    found = results["targets"]
    measured = [target for target in TARGETS if target.key in found]
    above = [target for target in measured if not target.is_met(found[target.key])]
    ending = (
        f"All {len(measured)} targets are met."
        if not above
        else f"{len(above)} of {len(measured)} targets are not met yet."
    )
    return "\n".join(
        [
            (
                f"`make bench` measures it side by side, CPU by the kernel's account; last on "
                f"{machine_words(results)}. Everything ran on that one machine: the ratios say "
                "more than the microseconds."
            ),
            "",
            "![CPU of one Check and of one request through Envoy](bench/results.svg)",
            "",
            *targets_table(results),
            "",
            (
                f"CPU for one Check there: {warm['ours-h2']:g} µs for a token seen before, "
                f"{cold['ours-h2']:g} µs for a new one, {direct['forged_us']['ours-h2']:g} µs for "
                f"a forged one. A constant reply takes {warm['floor']:g} µs, the naive server "
                f"{warm['naive']:g} µs, the bare verification {direct['verify_us']:g} µs. "
                f"{ending} All figures: [bench/RESULTS.md](bench/RESULTS.md); how they are taken "
                "and what they do not say: [bench/README.md](bench/README.md)."
            ),
        ]
    )


def results_page(results: Results) -> str:
    """Write the page with every figure."""
    parts: Iterable[Sequence[str]] = (
        (
            "# What it costs",
            "",
            (
                f"On {machine_words(results)}. Written by `python -m bench.report` from "
                "[results.json](results.json); how each figure is taken, and what it does not say: "
                "[README.md](README.md)."
            ),
            "",
            "![CPU of one Check and of one request through Envoy](results.svg)",
            "",
            "## Targets",
            "",
        ),
        targets_table(results),
        direct_page(results),
        envoy_page(results["envoy"]),
        sds_page(results["sds"]),
        memory_page(results["memory"]),
        ("", "## Versions", ""),
        table(("Part", "Version"), list(results["versions"].items())),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def targets_table(results: Results) -> list[str]:
    """Write the figures that have a target."""
    rows = []
    for target in TARGETS:
        measured = results["targets"].get(target.key)
        if measured is None:
            rows.append((target.words, "-", f"{target.at_most:g}", "not measured in that run"))
            continue
        met = "met" if target.is_met(measured) else "**not met**"
        rows.append((target.words, f"{measured:g}", f"{target.at_most:g}", met))
    return table(("Figure", "Measured", "Target (at most)", ""), rows)


def machine_words(results: Results) -> str:
    """Name the machine, the day and how busy it was."""
    machine = results["machine"]
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {results['versions']['python']}, "
        f"{results['date'][:10]}{_busy(machine)}"
    )


def picture(results: Results) -> str:
    """Draw the picture."""
    machine = results["machine"]
    where = f"{machine['cores']} cores of {machine['cpu']}, Python {results['versions']['python']}"
    when = f"{results['date'][:10]}{_busy(machine)}"
    return draw(panels_of(results), f"Medians of alternating runs. {where}, {when}.")


def put_section(text: str, section: str) -> str:
    """Put a section between its two marks, which must be there once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError("the marks of the section are not there, or not once")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def write_all(results: Results) -> None:
    """Write page, picture and README."""
    PAGE.write_text(results_page(results), encoding="utf-8")
    PICTURE.write_text(picture(results), encoding="utf-8")
    README.write_text(
        put_section(README.read_text(encoding="utf-8"), readme_section(results)), encoding="utf-8"
    )


def read_results(path: Path = RESULTS) -> Results:
    """Read a run."""
    results: Results = json.loads(path.read_text(encoding="utf-8"))
    return results


def _busy(machine: dict[str, Any]) -> str:
    load = machine["load_before"]
    return "" if load <= QUIET_LOAD else f" (busy: load {load:g} before the run)"


if __name__ == "__main__":
    write_all(read_results(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
