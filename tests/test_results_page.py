"""The tables of accuracy are those of the reports, and the headline is theirs too."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = runpy.run_path(str(ROOT / "benchmarks/results_page.py"))


@pytest.mark.parametrize("name", PAGE["PAGES"])
def test_tables_are_made_of_the_reports(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert page.count("<!-- table ") == page.count("<!-- end -->") > 0
    assert PAGE["filled"](page, PAGE["tables"]()) == page, "python benchmarks/results_page.py"


def test_headlines_are_figures_of_the_report() -> None:
    report = json.loads((PAGE["REPORTS"] / "sealed.json").read_text(encoding="utf-8"))
    everything = report["all"]
    within, median = PAGE["percent"](everything["within_30mm"]), everything["median_joint_mm"]
    for name in ("README.md", "docs/model-card.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert f"{within} %" in text
    card = (ROOT / "docs/model-card.md").read_text(encoding="utf-8")
    assert f"{median:.2f} mm" in card
    assert f"{everything['mean_error_mm']:.1f} mm" in card
    results = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert f"--keep data/{report['set']['name']} " in results


def test_a_table_is_filled_by_name_and_the_text_around_stays() -> None:
    page = "a\n\n<!-- table one -->\n\n| old |\n\n<!-- end -->\n\nb\n"
    assert PAGE["filled"](page, {"one": "| new |"}) == page.replace("old", "new")


def test_what_misses_its_baseline_is_bold_and_what_was_not_measured_a_dash() -> None:
    assert PAGE["bold_if"](True, "68.8", "(1 to 2)") == "**68.8** (1 to 2)"
    assert PAGE["figure"](None) == "-"
    assert [PAGE["figure"](x) for x in (0.0, 1.234, 12.0, 123.4)] == ["0", "1.23", "12.0", "123"]
