"""Renew what console blocks print: `python tests/docs/refresh.py [PAGE ...]` (default: all pages).

A block runs as the tests run it and its output takes the place of the old one. A page keeps a
`...` line, and what was left out there stays left out, so look at the difference before a commit.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from blocks import PAGES, ROOT, Block, Exchange, blocks, exchanges, lines_of


def renewed(block: Block, folder: Path) -> str:
    """The text of a console block with what its commands print now."""
    return "".join(
        f"$ {one.command}\n" + "".join(line + "\n" for line in output(one, folder))
        for one in exchanges(block)
    )


def output(exchange: Exchange, folder: Path) -> list[str]:
    """What a command prints now, up to the line where the page stops to look."""
    words = shlex.split(exchange.command)
    start = [sys.executable, "-m", "thalweg"] if words[0] == "thalweg" else [sys.executable]
    done = subprocess.run(
        [*start, *words[1:]],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    printed = lines_of(done.stdout + done.stderr)
    if exchange.printed[-1:] == ["..."] and len(exchange.printed) > 1:
        return [*printed[: len(exchange.printed) - 1], "..."]
    return printed


def main() -> None:
    """Renew the pages named on the command line."""
    pages = [Path(word).resolve() for word in sys.argv[1:]] or PAGES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "train.py").write_text((Path(__file__).parent / "train.py").read_text())
        for page in pages:
            text = page.read_text()
            for block in blocks(page):
                if block.language == "console" and block.check != "not run":
                    text = text.replace(block.text, renewed(block, folder))
            page.write_text(text)


if __name__ == "__main__":
    main()
