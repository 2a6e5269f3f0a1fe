"""A report in a notebook: a frame that holds the page and lets nothing of it out."""

import html
import re
import sys

import pytest

from thalweg import report
from thalweg.report.html import render


def test_the_frame_holds_the_page_and_nothing_else(sample):
    shown = report.show(sample, height=500)._repr_html_()
    match = re.fullmatch(
        r'<iframe srcdoc="([^"<>]*)" style="width:100%;height:500px;border:0" title="[^"]*">'
        r"</iframe>",
        shown,
    )
    assert html.unescape(match[1]) == render(sample)


def test_in_a_terminal_it_is_the_text(samples):
    text = repr(report.show(samples["obstructed"]))
    assert "OBSTRUCTED" in text
    assert "\x1b" not in text


def test_without_the_drawing_packages_it_is_the_data_as_text(samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "thalweg.report.html", None)
    shown = report.show(samples["hostile"])._repr_html_()
    assert shown.startswith("<pre>")
    assert "<script" not in shown


def test_what_is_no_report_is_refused_at_once():
    with pytest.raises(report.ReportError, match="lacks"):
        report.show({"schema": 1})
