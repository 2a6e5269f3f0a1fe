"""The example notebook runs, and what it shows is a page of its own in a frame."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg import report

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "watching.ipynb"


EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The code cells of the notebook, executed."""
    folder = tmp_path_factory.mktemp("notebook")
    subprocess.run([sys.executable, "-c", EXECUTE, str(NOTEBOOK)], cwd=folder, check=True)
    notebook = json.loads((folder / "executed.ipynb").read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def page_of(shown):
    """The page in a frame, and nothing outside of it."""
    match = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*" title="Thalweg report"></iframe>',
                         shown)  # fmt: skip
    return html.unescape(match[1])


def test_the_example_shows_its_report(cells):
    (shown,) = (
        "".join(output["data"]["text/html"])
        for cell in cells
        for output in cell["outputs"]
        if "text/html" in output.get("data", {})
    )
    page = page_of(shown)
    assert "Suspected, not proved: Dead units" in page
    assert "this notebook" in page
    assert "ipykernel_launcher" not in page
    assert "default-src 'none'" in page  # it may ask for nothing from anywhere
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert re.findall(r'(?:src|href)="(?!data:)', markup) == []
    data = report.validate(json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1]))
    assert data["watched"]["proof"] == "thalweg diagnose SCRIPT"
    assert "'dead-units'" in "".join(cells[-1]["outputs"][0]["data"]["text/plain"])


def test_the_example_is_kept_without_what_it_shows():
    kept = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] for cell in kept["cells"] if cell["cell_type"] == "code")
