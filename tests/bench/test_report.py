"""README, RESULTS.md and the picture say what results.json says, and nothing else."""

import copy
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench import envoy_settings, filter_counts, report
from bench.names import ASKED
from bench.plot import Bar, Panel, Part, draw
from bench.sections import noise_line, table
from bench.targets import TARGETS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return report.read_results()


def changed(results: dict[str, Any], key: str, value: float) -> dict[str, Any]:
    other = copy.deepcopy(results)
    other["targets"][key] = value
    return other


def test_the_readme_is_that_of_the_last_run(results: dict[str, Any]) -> None:
    text = report.README.read_text(encoding="utf-8")
    assert report.put_section(text, report.readme_section(results)) == text, (
        "run: python -m bench.report"
    )


def test_the_page_is_that_of_the_last_run(results: dict[str, Any]) -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.results_page(results)


def test_the_picture_is_that_of_the_last_run(results: dict[str, Any]) -> None:
    assert report.PICTURE.read_text(encoding="utf-8") == report.picture(results)


def test_envoys_table_is_that_of_the_last_run() -> None:
    settings = report.read_results(envoy_settings.FIGURES)
    text = envoy_settings.README.read_text(encoding="utf-8")
    assert report.put_section(text, envoy_settings.section(settings)) == text, (
        "run: python -m bench.envoy_settings"
    )


def test_the_targets_are_figures_of_the_same_run(results: dict[str, Any]) -> None:
    direct, envoy, memory = results["direct"], results["envoy"], results["memory"]
    figures = {**envoy, **memory, "flood_p99": results["flood"]["flood_p99"]}
    figures["warm_vs_naive"] = direct["warm_us"]["ours-h2"] / direct["warm_us"]["naive"]
    figures["warm_vs_floor"] = direct["warm_us"]["ours-h2"] / direct["warm_us"]["floor"]
    figures["cold_vs_verify"] = direct["cold_us"]["ours-h2"] / direct["verify_us"]
    assert set(results["targets"]) <= {target.key for target in TARGETS}
    for key, value in results["targets"].items():
        assert value == pytest.approx(figures[key], rel=0.01)


def test_a_target_of_another_run_is_not_called_met(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    other["targets"] = {"flood_p99": 1.0}
    section = report.readme_section(other)
    assert "All 1 targets are met." in section
    assert section.count("not measured in that run") == len(TARGETS) - 1


def test_the_machine_is_named(results: dict[str, Any]) -> None:
    section = report.readme_section(results)
    assert results["machine"]["cpu"] in section
    assert results["date"][:10] in section
    assert results["versions"]["python"] in section


def test_a_target_that_is_not_met_is_in_bold_in_the_readme(results: dict[str, Any]) -> None:
    good = copy.deepcopy(results)
    good["targets"] = {target.key: target.at_most for target in TARGETS}
    section = report.readme_section(good)
    assert "not met" not in section
    assert "All 14 targets are met." in section
    section = report.readme_section(changed(good, "flood_p99", 3.5))
    assert section.count("**not met**") == 1
    assert "1 of 14 targets are not met yet." in section


def test_a_busy_machine_is_confessed(results: dict[str, Any]) -> None:
    busy, idle = copy.deepcopy(results), copy.deepcopy(results)
    busy["machine"]["load_before"], idle["machine"]["load_before"] = 3.2, 0.1
    assert "load 3.2" in report.readme_section(busy)
    assert "load" not in report.machine_words(idle)


def test_a_section_is_put_between_its_marks_and_nothing_else_is_touched() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.put_section(text, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"


@pytest.mark.parametrize("text", ["", report.BEGIN, f"{report.END}{report.END}{report.BEGIN}"])
def test_a_document_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="marks"):
        report.put_section(text, "new")


def test_what_is_not_measured_is_said(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    other["sds"]["on_demand_from_vault"] = {"skipped": "there is no such thing"}
    assert "not measured: there is no such thing" in report.results_page(other)


def test_without_load_tools_and_churn_the_page_can_be_written(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    for part, name in (("direct", "per_second"), ("envoy", "throughput"), ("memory", "churn")):
        other[part].pop(name, None)
    assert "h2load" in report.results_page(other)


def test_the_filters_table_is_that_of_the_last_count() -> None:
    text = filter_counts.PAGE.read_text(encoding="utf-8")
    section = filter_counts.filters_section(report.read_results(filter_counts.COUNTS))
    assert report.put_section(text, section) == text, (
        "run: python -m bench.envoy_instructions --filters"
    )


def test_the_range_of_runs_stands_beside_their_median(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    row = {"median": 50.0, "least": 47.5, "most": 61.0, "runs": 7}
    other["envoy"]["spread_us"] = {ASKED: row}
    assert "47.5 to 61" in report.results_page(other)


def test_tables_are_markdown() -> None:
    assert table(("Name", "µs"), [("a", 1.50), ("b", None), ("c", 12_345)]) == [
        "| Name | µs |",
        "| --- | ---: |",
        "| a | 1.5 |",
        "| b | - |",
        "| c | 12,345 |",
    ]


def test_noise_is_said_where_there_is_some() -> None:
    assert noise_line({"quiet": 0.02}) == []
    assert "loud ±30%" in noise_line({"quiet": 0.02, "loud": 0.3})[-1]


def test_bars_are_as_long_as_their_figures() -> None:
    bars = (
        Bar("half & half", (Part(25, "envoy"), Part(25, "ours"))),
        Bar("<whole>", (Part(100, "other"),)),
    )
    picture = draw([Panel("title", "note", bars)], "footer")
    root = ET.fromstring(picture)
    widths = {each.attrib["class"]: float(each.attrib["width"]) for each in root.iter(f"{SVG}rect")}
    assert widths["envoy"] == widths["ours"] == pytest.approx(widths["other"] / 4, abs=0.1)
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert "half & half" in words
    assert "<whole>" in words
    assert "25.0 + 25.0 = 50.0" in words


def test_the_picture_has_a_dark_side_and_stays_in_its_frame(results: dict[str, Any]) -> None:
    picture = report.picture(results)
    assert "prefers-color-scheme: dark" in picture
    root = ET.fromstring(picture)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for each in root.iter(f"{SVG}rect"):
        assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width
        assert float(each.attrib["y"]) + float(each.attrib["height"]) <= height
    assert not re.search(r"<script|href=|url\(", picture), "GitHub shows no such thing"
