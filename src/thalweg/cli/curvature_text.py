"""A survey of curvature in the terminal: a block for each step, then how the steps differ.

Reads well at 80 columns, without colour and in a pipe.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from thalweg.curvature.picture import picture
from thalweg.report.curvature_wording import MOVES, cost, move, rows, steps_of, title_of
from thalweg.report.json import plain
from thalweg.report.text import show
from thalweg.report.wording import command, counted, printable

Data = Mapping[str, Any]


def render(data: Data, console: Console | None = None) -> None:
    """Print the survey `data` on `console`, standard output when left out."""
    console = console or Console()
    data = printable(plain(data))
    show(Group(*parts(data, console.options.ascii_only)), console)


def parts(data: Data, ascii_only: bool) -> Iterator[RenderableType]:
    """What is printed, in order."""
    yield Text.assemble("Curvature of ", (command(data), "bold"), f" at {steps_of(data)}")
    yield Text()
    for step in data["steps"]:
        yield Rule(title_of(step), align="left", characters="-" if ascii_only else "─")
        yield Padding(Group(*block(step, ascii_only)), (0, 0, 1, 2))
    answered = [step for step in data["steps"] if "failed" not in step]
    if len(answered) > 1:
        yield Rule("How it moved", align="left", characters="-" if ascii_only else "─")
        yield Padding(moves(answered), (0, 0, 1, 2))
    for one in data["missing"]:
        yield Text(f"Step {one['step']:,} was not seen: {one['why']}.", "yellow")
    yield Text(cost(data), "dim")


def block(step: Data, ascii_only: bool) -> Iterator[RenderableType]:
    """Everything about one step."""
    if "failed" in step:
        yield Text(f"No answer: {step['failed']}.", "yellow")
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1)
    for name, text in rows(step):
        table.add_row(name, Text(text))
    yield table
    spectrum = step["spectrum"]
    if "failed" not in spectrum:
        values = [one["value"] for one in spectrum["outliers"]]
        key = "; ^ outliers, known one by one" if values else ""
        yield Text(f"\n{counted(spectrum['size'], 'eigenvalue')}{key}")
        drawn = picture(spectrum["edges"], spectrum["counts"], values, ascii_only=ascii_only)
        yield Text(drawn, no_wrap=True)


def moves(steps: Sequence[Data]) -> Table:
    """A row for each step: loss, ends of the spectrum, and the rate against its limit."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in MOVES:
        table.add_column(name, justify="right", header_style="dim")
    for step in steps:
        table.add_row(*map(Text, move(step)))
    return table
