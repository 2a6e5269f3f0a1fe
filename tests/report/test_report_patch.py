"""A remedy that has a patch is shown by it, in the terminal and on the page."""

import io
import re

import pytest
from rich.console import Console

from thalweg import report
from thalweg.report.html import render
from thalweg.report.text import wrapped

PATCH = """\
--- train.py
+++ train.py
@@ -1,3 +1,3 @@
 import torch
-sgd = torch.optim.SGD(net.parameters(), lr=8 < 9)
+sgd = torch.optim.SGD(net.parameters(), lr=0.8)
     step()
"""
GENERIC = "optimizer = torch.optim.SGD(model.parameters(), lr=0.8)"


@pytest.fixture
def patched(samples):
    data = samples["obstructed"]
    data["findings"][0]["remedy"]["diff"] = PATCH
    return data


def printed(data):
    file = io.StringIO()
    report.render_text(data, Console(file=file, width=90))
    return file.getvalue()


def test_the_schema_knows_it(patched):
    report.validate(patched)


def test_the_terminal_shows_every_line_of_it(patched):
    text = printed(patched)
    shown = [line for line in text.splitlines() if "torch" in line or "train.py" in line]
    indent = len(next(one for one in shown if "+++" in one).split("+++")[0])
    for line in PATCH.splitlines():
        assert " " * indent + line in text.splitlines()
    assert GENERIC not in text


def test_the_page_shows_it_as_text_that_can_be_copied(patched):
    page = render(patched)
    (block,) = re.findall(r'<pre class="diff">(.*?)</pre>', page, re.DOTALL)
    assert re.sub("<[^>]+>", "", block).replace("&lt;", "<").replace("&#34;", '"') == PATCH
    assert "<ins>+sgd" in block
    assert "<del>-sgd" in block
    assert GENERIC not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("diff", [None, ""])
def test_without_one_the_generic_line_is_shown(samples, diff):
    data = samples["obstructed"]
    if diff is not None:
        data["findings"][0]["remedy"]["diff"] = diff
    assert GENERIC in printed(data)
    assert f"<pre>{GENERIC}</pre>" in render(data)


LONG = (
    "+        accuracy = (model((test_x - mean) / std).argmax(1) == test_y).float().mean().item()"
)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
@pytest.mark.parametrize("line", [LONG, " " + LONG[1:], "@@ -1,3 +1,3 @@", "-x = 'a  b'", "+", ""])
def test_a_line_too_long_goes_on_under_its_own_sign_and_deeper(line, width):
    first, *rest = wrapped(line, width)
    assert first.startswith(line[:9])
    assert all(one.startswith(line[:1] + " " * 16) for one in rest)
    assert " ".join([first, *(one[1:].strip() for one in rest)]) == line
    assert bool(rest) == (len(line) > width)
    assert all(len(one) <= max(width, 50) for one in (first, *rest))
