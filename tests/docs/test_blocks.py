"""Every block of the README and of the documentation runs, and prints what the page says."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import hooks
import pytest
from blocks import (
    BLOCKS,
    CONSOLE,
    DEMO,
    PAGES,
    ROOT,
    Block,
    Exchange,
    agrees,
    blocks,
    exchanges,
    lines_of,
    missing,
    promised,
)

from thalweg.cli.catalogue import topics
from thalweg.cli.main import BY_NAME

PYTHON_PAGES = [page for page in PAGES if any(b.language == "python" for b in blocks(page))]
SHORT = [block for block in CONSOLE if DEMO not in [one.command for one in exchanges(block)]]
LANGUAGES = {"python", "console", "sh", "json", "text", ""}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder with the scripts that the pages speak of."""
    (tmp_path / "train.py").write_text((Path(__file__).parent / "train.py").read_text())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_print_what_they_promise(page, workspace):
    scope = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and block.check != "not run":
            assert printed(block, scope) == promised(block.text), block


def printed(block: Block, scope: dict[str, object]) -> list[str]:
    output = io.StringIO()
    padding = "\n" * block.line  # so that a traceback names the line of the page
    with contextlib.redirect_stdout(output):
        exec(compile(padding + block.text, str(block.page), "exec"), scope)
    return lines_of(output.getvalue())


@pytest.mark.parametrize("block", SHORT, ids=str)
def test_console_blocks_print_what_they_say(block, workspace, request):
    for exchange in exchanges(block):
        output = output_of(exchange, request)
        if block.check == "loosely":
            assert not missing(exchange.printed, output)
        else:
            assert agrees(exchange.printed, output), "\n".join(output)


def output_of(exchange: Exchange, request: pytest.FixtureRequest) -> list[str]:
    """What a command prints."""
    program, *words = shlex.split(exchange.command)
    if program == "thalweg":
        done = request.getfixturevalue("thalweg")(*words, cwd=Path.cwd())
        return lines_of(done.stdout + done.stderr)
    assert program == "python", f"{exchange.command}: only thalweg and python can be checked"
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=300
    )
    return lines_of(done.stdout + done.stderr)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_blocks_are_json(block):
    assert json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_has_a_language_that_is_checked(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_is_there(page):
    named = set(re.findall(r"`make (\w+)|^(?:\$ )?make (\w+)", page.read_text(), re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_table_of_interventions_names_kinds_and_options_that_are_there():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (.*) \|$", (ROOT / "docs/interventions.md").read_text(), re.M
    )
    options = {
        option for action in BY_NAME["run"].parser()._actions for option in action.option_strings
    }
    assert rows
    assert {kind for kind, _ in rows} <= {topic.name for topic in topics("intervention")}
    assert {word for _, text in rows for word in re.findall(r"--[\w-]+", text)} <= options


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_generated_part_is_filled(page):
    for mark in re.findall(r"<!-- generated: \w+ -->", page.read_text()):
        assert hooks.on_page_markdown(mark).strip() not in ("", mark)


# The checks themselves bite.


def a_block(text, language="python"):
    return Block(ROOT / "README.md", 1, language, text, "exactly")


def test_printed_output_is_compared():
    block = a_block("print(1)\n#> 2\n")
    assert printed(block, {}) != promised(block.text)


@pytest.mark.parametrize(
    "page, output, same",
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b", "c"], True),
        (["a", "..."], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a.c"], ["abc"], False),
        (["a", "...", "d"], ["a", "b"], False),
    ],
)
def test_output_agrees(page, output, same):
    assert agrees(page, output) is same


def test_loosely_leaves_out_numbers_and_drawings_only():
    output = ["accuracy 0.97 ▁▂▇", "took 3.1 s"]
    assert missing(["accuracy  0.81 ▁▁", "...", "took", "12 s"], output) == set()
    assert missing(["loss 0.97"], output) == {"loss"}


def test_commands_and_their_output_are_told_apart():
    found = exchanges(a_block("$ thalweg --version\nthalweg 1\n$ thalweg env\n", "console"))
    assert [(one.command, one.printed) for one in found] == [
        ("thalweg --version", ["thalweg 1"]),
        ("thalweg env", []),
    ]
