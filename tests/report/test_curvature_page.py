"""The page of a survey of curvature: what it holds, and in a real browser that it can be read."""

import copy
import json
import re

import pytest
from test_report_browser import CONTRASTS, WIDTHS, browser, look, wait

from thalweg.report import ReportError, write_curvature_html
from thalweg.report.curvature_page import charts

__all__ = ["browser"]  # the fixture


def end(value):
    return {"value": value, "error": 1e-5}


def rate(value):
    return {"value": value, "low": 0.9 * value, "high": value}


def step_at(number):
    """One step with all its answers."""
    counts = [0.0, 3.0, 40.0, 900.0, 52.0, 2.0, 0.0, 0.0, 1.0, 2.0]
    count = {"low": 10, "high": 480, "at_least": 3}
    return {
        "step": number,
        "optimizer": {"index": 0, "kind": "Adam<b>", "count": 1},
        "parameters": 1000,
        "loss": 0.5,
        "gradient_norm": 0.1,
        "critical_point": {"kind": "minimum", "why": "<i>it is</i>", "escape": None},
        "learning_rate": {
            "optimal": rate(0.5),
            "maximal": rate(1.0),
            "in_use": 0.9,
            "share": 0.9,
            "says": "at the edge of stability",
            "check": "confirmed by stepping",
            "note": "",
        },
        "largest": end(2.0 + number),
        "smallest": end(-0.5),
        "sharpness": {"trace": {"value": 3.0, "low": 2.0, "high": 4.0}},
        "spectrum": {
            "size": 1000,
            "negative": count,
            "zero": count,
            "positive": count,
            "condition": {"number": 30.0, "exact": False, "effective_rank": 12.0},
            "gain": {"number": 2.0, "unresolved": 0.1},
            "edges": [-0.5 + 0.25 * i for i in range(11)],
            "counts": counts,
            "outliers": [end(1.6), end(1.9), end(1.95)],
        },
        "notes": [],
        "products": 300,
        "seconds": 1.5,
    }


def survey(*steps):
    """A survey of these steps, and one that was not seen."""
    return {
        "kind": "curvature",
        "schema": 1,
        "thalweg": "0.1.0",
        "script": {"path": "train.py", "arguments": [], "steps": 100},
        "device": "cpu",
        "at": [0, 100, 500],
        "steps": list(steps),
        "missing": [{"step": 500, "why": "the script ended after 100 steps"}],
        "budget": {"seconds": 9.0, "limit": 300.0, "products": 400},
    }


FAILED = {"step": 3, "optimizer": {"index": 0, "kind": None, "count": 0}, "failed": "no <way>"}
SURVEYS = {
    "two steps": survey(step_at(0), step_at(100)),
    "one step": survey(step_at(0)),
    "one failed": survey(step_at(0), FAILED),
    "nothing": survey(),
}


@pytest.mark.parametrize("data", SURVEYS.values(), ids=SURVEYS)
def test_the_page_is_whole_and_escaped(data, tmp_path):
    write_curvature_html(data, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.rstrip().endswith("</html>")
    held = re.search(r'id="report">(.*?)</script>', text, re.S)[1]
    assert json.loads(held) == data
    body = text.partition("<body>")[2].partition("<script")[0]
    assert "<i>" not in body
    assert "<way>" not in body
    assert "the script ended after 100 steps" in body
    assert ("How it moved" in body) is (data is SURVEYS["two steps"])


def test_the_density_has_a_bar_for_each_full_bin_and_a_mark_for_each_outlier():
    drawn = dict(charts(SURVEYS["two steps"]))
    assert set(drawn) == {"density-0", "density-1", "moves"}
    tables = drawn["density-0"]["datasets"]
    assert [row["count"] for row in tables["bars"]] == [3, 40, 900, 52, 2, 1, 2]
    assert [row["value"] for row in tables["outliers"]] == [1.6, 1.9, 1.95]
    assert [row["value"] for row in drawn["moves"]["datasets"]["moves"]] == [2, 102]


def test_what_is_no_survey_is_refused(tmp_path):
    with pytest.raises(ReportError, match="not a survey of curvature"):
        write_curvature_html({"schema": 1}, tmp_path / "page.html")
    newer = copy.deepcopy(SURVEYS["nothing"]) | {"schema": 2}
    with pytest.raises(ReportError, match="a survey of schema 2; this Thalweg reads 1"):
        write_curvature_html(newer, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_drawn_and_can_be_read_at_every_width(browser, theme, tmp_path):
    write_curvature_html(SURVEYS["two steps"], tmp_path / "page.html")
    look(browser, 1280, theme)
    browser.get_log("browser")
    browser.get((tmp_path / "page.html").as_uri())
    wait(browser, "document.documentElement.dataset.charts === 'drawn'")
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('.plot svg').length") == 3
    faint = [pair for pair in browser.execute_script(CONTRASTS) if pair[0] < 4.5]
    assert faint == []
    for width in WIDTHS:
        look(browser, width, theme)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
