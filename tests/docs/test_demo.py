"""The demo that the README begins with: its diagnosis, made once, and what the page shows of it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from blocks import CONSOLE, DEMO, exchanges, lines_of, missing
from jsonschema import Draft202012Validator

import thalweg as front_door
from thalweg.report import read

pytestmark = pytest.mark.slow

SCRIPT = DEMO.removeprefix("thalweg diagnose ")
SCHEMA = Path(front_door.__file__).parent / "report" / "schema.json"
Completed = CompletedProcess[str]


@dataclass(frozen=True)
class Diagnosed:
    """The demo's diagnosis from the command line: how it ended and what it wrote."""

    done: Completed
    json: Path
    html: Path


@pytest.fixture(scope="module")
def demo(thalweg: Callable[..., Completed], tmp_path_factory: pytest.TempPathFactory) -> Diagnosed:
    folder = tmp_path_factory.mktemp("demo")
    json, html = folder / "demo.json", folder / "demo.html"
    done = thalweg("diagnose", "--budget", "3m", "--json", json, "--html", html, SCRIPT)
    return Diagnosed(done, json, html)


def accuracy(output):
    return float(re.findall(r"accuracy (\d\.\d+)", output)[-1])


def test_the_demo_is_obstructed_by_its_inputs(demo):
    assert demo.done.returncode == 1, demo.done.stderr
    report = read(demo.json)
    assert report["verdict"] == "obstructed"
    assert report["findings"][0]["cause"] == "unscaled-inputs"
    assert report["findings"][0]["verified"]["held"]


def test_the_demo_report_fits_the_schema(demo):
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator(schema).validate(json.loads(demo.json.read_text()))


def test_the_demo_ends_with_its_files(demo):
    last = [f"JSON report: {demo.json}", f"HTML report: {demo.html}"]
    assert demo.done.stdout.splitlines()[-2:] == last
    assert demo.html.read_text().rstrip().endswith("</html>")


def test_the_demo_names_cause_and_remedy_on_the_terminal(demo):
    finding = read(demo.json)["findings"][0]
    printed = " ".join(demo.done.stdout.split())
    assert "unscaled inputs" in printed.lower()
    assert " ".join(finding["remedy"]["says"].split()) in printed


def test_the_verified_remedy_mends_the_demo(demo, thalweg):
    plain, mended = thalweg("run", SCRIPT), thalweg("run", "--apply", demo.json, SCRIPT)
    assert (plain.returncode, mended.returncode) == (0, 0)
    assert accuracy(mended.stdout) > accuracy(plain.stdout) + 0.1


def test_the_pages_show_what_it_prints(demo):
    shown = [one for block in CONSOLE for one in exchanges(block) if one.command == DEMO]
    assert shown
    for exchange in shown:
        assert not missing(exchange.printed, lines_of(demo.done.stdout))
