"""What runs were compared by is said where the script evaluates nothing."""

import io

import pytest
from rich.console import Console

from thalweg.report import render_text
from thalweg.report.html import render

SAYS = "Runs are compared by the loss of samples that were set aside."


def as_text(data):
    heard = io.StringIO()
    render_text(data, Console(file=heard, width=100))
    return heard.getvalue()


@pytest.mark.parametrize("told, line", [(as_text, SAYS), (render, f"<dd>{SAYS}</dd>")])
def test_it_is_said_once_and_only_there(told, line, samples):
    assert told(samples["healthy"] | {"compared_by": SAYS}).count(line) == 1
    for quiet in (samples["healthy"] | {"compared_by": ""}, samples["healthy"]):
        assert "compared by" not in told(quiet)
        assert "comparison</dt>" not in told(quiet)
