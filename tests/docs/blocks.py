"""Fenced blocks of Markdown files: found, run, compared with what the page prints.

A `python` block is run, in one namespace for the whole page, and what it prints must be what its
`#>` lines say. A `console` block is run line by line after `$ `; what follows a command must be
what it prints, where a line `...` stands for any lines. Two comments before a block change that:
`<!-- check: loosely -->` compares with numbers and drawings left out of sight, and
`<!-- check: not run -->` needs no reason to be given here, for the page gives it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]

FENCE = re.compile(
    r"(?:<!-- check: (?P<check>[a-z ]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
# Numbers, bars, sparklines and box drawing: what may differ from one machine to the next.
DRAWN = re.compile(r"[\d.,…+\-−%×⠀-⣿─-▟■-◿]+|\b(?:nan|inf)\b")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, its text, how it is to be checked."""

    page: Path
    line: int
    language: str
    text: str
    check: str

    def __str__(self) -> str:
        """Where it stands, as a test's name."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Exchange:
    """A command of a console block and the lines that the page says it prints."""

    command: str
    printed: list[str]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        inner = dedent(match["text"])
        yield Block(page, line, match["language"], inner, match["check"] or "exactly")


def exchanges(block: Block) -> list[Exchange]:
    """The commands of a console block."""
    found: list[Exchange] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Exchange(line[2:], []))
        else:
            found[-1].printed.append(line.rstrip())
    return found


def promised(text: str) -> list[str]:
    """What a python block says that it prints: its `#>` lines."""
    return [line.strip()[2:].strip() for line in text.splitlines() if line.strip()[:2] == "#>"]


def lines_of(output: str) -> list[str]:
    """The lines of a command's output, without spaces at their ends."""
    return [line.rstrip() for line in output.rstrip("\n").splitlines()]


def agrees(page: list[str], output: list[str]) -> bool:
    """Whether `output` is what the page shows, where `...` stands for any lines."""
    parts = [re.escape(line) + "\n" if line != "..." else "(?:.*\n)*?" for line in page]
    return re.fullmatch("".join(parts), "".join(line + "\n" for line in output)) is not None


def words(lines: list[str]) -> set[str]:
    """The words of some lines, without numbers and drawings; where lines break does not matter."""
    return set(DRAWN.sub(" ", " ".join(lines)).split())


def missing(page: list[str], output: list[str]) -> set[str]:
    """The words of the page that the output does not have."""
    return words(page) - words(output)


BLOCKS = [block for page in PAGES for block in blocks(page)]
CONSOLE = [block for block in BLOCKS if block.language == "console" and block.check != "not run"]
DEMO = "thalweg diagnose examples/disappointing_digits.py"  # it takes a minute: see test_demo.py
