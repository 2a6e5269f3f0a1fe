"""What a network is worth at each sparsity, in the terminal: a row for each, a column a method.

Reads well at 80 columns, without colour and in a pipe.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thalweg.report.json import plain
from thalweg.report.text import show
from thalweg.report.wording import command, counted, duration, listed, number, percent, printable

Data = Mapping[str, Any]
SHARES = ("accuracy", "error rate")  # measures that are read as percent


def render(data: Data, console: Console | None = None) -> None:
    """Print what `thalweg.sparsity_of` found on `console`, standard output when left out."""
    show(Group(*parts(printable(plain(data)))), console or Console())


def parts(data: Data) -> Iterator[RenderableType]:
    """What is printed, in order."""
    yield Text.assemble("Pruned ", (command(data), "bold"), f": {networks(data)}")
    yield Text()
    yield Text(measured(data), "dim")
    yield table(data)
    yield Text()
    yield from (Text(line) for line in conclusions(data))
    for one in data["points"]:
        if "failed" in one:
            name = f"{percent(one['sparsity'])}, {one['method'] or 'pruned'}"
            yield Text(f"{name}: not measured: {one['failed']}.", "yellow")
    if data["saved"]:
        yield Text(f"Parameters: {data['saved']}")
    budget = data["budget"]
    yield Text(f"{duration(budget['seconds'])} of {duration(budget['limit'])}.", "dim")


def networks(data: Data) -> str:
    """What was pruned, and when."""
    names = [
        f"{one['name'] or one['kind']} ({counted(one['parameters'], 'parameter')})"
        for one in data["networks"]
    ]
    return f"{listed(names)} after {counted(data['script']['steps'], 'step')}"


def measured(data: Data) -> str:
    """What the numbers are."""
    form = "" if data["pattern"] == "unstructured" else f", pattern {data['pattern']}"
    if data["measure"]:
        return f"The script's own {data['measure']['name']}{form}"
    return f"Loss of the last batches, since the script measures nothing after it has trained{form}"


def table(data: Data) -> Table:
    """A row for each sparsity, ascending; a column for each method."""
    methods = methods_of(data)
    found = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("sparsity", *methods):
        found.add_column(name, justify="right", header_style="dim")
    found.add_row("0 %", *[worth(data["dense"], data)] * len(methods))
    for row in zip(*(of_method(data, one) for one in methods), strict=True):
        found.add_row(percent(row[0]["sparsity"]), *(worth(one, data) for one in row))
    return found


def methods_of(data: Data) -> list[str]:
    """The names of the methods, in order; where nothing of one was measured, what was asked."""
    blocks = [one["method"] for one in data["points"]]
    half = len(blocks) // len({"magnitude": 0} | dict.fromkeys(blocks[:1]))
    names = [next((one for one in blocks[:half] if one), "pruned")]
    return names if half == len(blocks) else [*names, "magnitude"]


def of_method(data: Data, name: str) -> list[Data]:
    """The points of a method, by ascending sparsity."""
    points = data["points"]
    count = len(points) // len(methods_of(data))
    return list(points[:count] if name == methods_of(data)[0] else points[-count:])


def worth(one: Data, data: Data) -> str:
    """A value for the table."""
    if "failed" in one:
        return "-"
    if not data["measure"]:
        return number(one["loss"])
    if one["value"] is None:
        return "-"
    if data["measure"]["kind"] in SHARES:
        return f"{100 * one['value']:.1f} %"
    return number(one["value"])


def conclusions(data: Data) -> Iterator[str]:
    """What the table says at the sparsity that was asked for."""
    if data["asked"] is None:
        return
    points = [
        min(of_method(data, one), key=lambda p: abs(p["sparsity"] - data["asked"]))
        for one in methods_of(data)
    ]
    first = points[0]
    if "failed" in first:
        return
    beside = f", {points[1]['method']} {worth(points[1], data)}" if len(points) > 1 else ""
    yield (
        f"At {percent(first['sparsity'])} zeros {first['method']} keeps {worth(first, data)} of "
        f"{worth(data['dense'], data)}{beside}."
    )
    if first["left_out"]:
        yield f"Not pruned, since the pattern does not fit: {listed(first['left_out'])}."
