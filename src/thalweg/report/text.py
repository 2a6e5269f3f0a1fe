"""A report in the terminal: the verdict, its proof, what to change, and then the rest.

Reads well at 80 columns, without colour and in a pipe: colour only repeats what words say.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from thalweg.report.causes import title
from thalweg.report.curves import Curve, loss_of, measure_of, settled
from thalweg.report.json import plain
from thalweg.report.proof import changed_trial, mean
from thalweg.report.schema import validate
from thalweg.report.sparkline import sparklines
from thalweg.report.wording import (
    against_chance,
    command,
    counted,
    duration,
    ending,
    gain,
    headline,
    joined_by,
    number,
    percent,
    printable,
    quantity,
    remedy_heading,
    seeds,
    summary,
    watched_cost,
    words,
)

COLOURS = {"healthy": "green", "obstructed": "red", "unknown": "yellow", "watched": "cyan"}
SPARK_WIDTH = 24
MOST_COLUMNS = 100
# One column each, so that tables stay straight.
NEAREST = str.maketrans({"−": "-", "×": "x", "±": "~", "’": "'", "“": '"', "”": '"', "–": "-"})

Data = Mapping[str, Any]


def render(data: Data, console: Console | None = None) -> None:
    """Print the report `data`.

    Args:
        data: A report as plain data (schema 1).
        console: Where to print; standard output when left out.

    Raises:
        ReportError: `data` does not fit the schema.
    """
    console = console or Console()
    data = printable(validate(plain(data)))
    show(Group(*parts(data, ascii_only=console.options.ascii_only)), console)


def before_and_after(data: Data, console: Console | None = None) -> None:
    """Print the first finding's proof alone: the script as it is beside the script with the change.

    Prints one line instead when the report has no finding with a run to show.

    Raises:
        ReportError: `data` does not fit the schema.
    """
    console = console or Console()
    data = printable(validate(plain(data)))
    finding = next(iter(data["findings"]), None)
    table = finding and comparison(finding, data["baseline"], console.options.ascii_only)
    show(table or Text("No change was tried to compare."), console)


def show(content: RenderableType, console: Console) -> None:
    """Print `content`, no wider than reads well and without spaces at the ends of lines."""
    options = console.options.update(width=min(console.width, MOST_COLUMNS))
    lines = console.render_lines(content, options, pad=False)
    segments = [segment for line in lines for segment in (*trimmed(line), Segment.line())]
    told = [Segment(writable(text, console.encoding), style) for text, style, _ in segments]
    console.print(Segments(told), end="")


def writable(text: str, encoding: str) -> str:
    """`text` with what `encoding` cannot hold put as its nearest sign, or as `?`."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(NEAREST).encode(encoding, "replace").decode(encoding)
    return text


def trimmed(line: Sequence[Segment]) -> list[Segment]:
    """A line without the blanks that only fill it up, so that a pipe or a diff sees none."""
    kept = list(line)
    while kept and not kept[-1].text.strip() and not (kept[-1].style and kept[-1].style.bgcolor):
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    return kept


def parts(data: Data, *, ascii_only: bool) -> Iterator[RenderableType]:
    """What is printed, in order."""
    yield verdict(data)
    for index, finding in enumerate(data["findings"]):
        if index > 0:
            heading = f"{joined_by(finding)}: {title(finding['cause'])}"
            yield Rule(Text(heading, "bold"), align="left", style="dim")
        if summary(data, finding):
            yield indented(Text(summary(data, finding)))
        baseline = finding.get("baseline") or data["baseline"]
        yield from finding_parts(finding, baseline, ascii_only)
    if not data["findings"] and data["baseline"]:
        yield from section("The run", run_lines(data["baseline"], ascii_only))
    if data.get("control"):
        yield from section("Against chance", Text(against_chance(data["control"])))
    if data.get("watched"):
        yield from watched_parts(data["watched"])
        yield Text(watched_cost(data), "dim")
        return
    if data["ruled_out"]:
        yield from section("Ruled out", ruled_out(data["ruled_out"]))
    if data.get("compared_by"):
        yield Text(data["compared_by"], "dim")
    yield Text(budget_line(data), "dim")


def watched_parts(watched: Data) -> Iterator[RenderableType]:
    """What broke, what is suspected, and what would prove it."""
    if watched["trouble"]:
        yield from section("What broke", *trouble_lines(watched["trouble"]))
    for one in watched["suspicions"]:
        lines = [Text(one["summary"])] + ([evidence(one["evidence"])] if one["evidence"] else [])
        yield from section(f"Suspected, not proved: {title(one['cause'])}", *lines)
    if watched["suspicions"]:
        yield from section("To prove it", Text(watched["proof"], "bold cyan"))


def trouble_lines(trouble: Data) -> Iterator[RenderableType]:
    """The module and the operation, what that was given, and how to load the last good state."""
    for name in ("module", "operation"):
        if trouble[name]:
            yield Text.assemble((f"{name}: ", "dim"), trouble[name])
    if trouble["inputs"]:
        yield tensors(trouble["inputs"])
    if trouble["load"]:
        yield Text(f"The last good state, after {counted(trouble['state_step'], 'update')}:")
        yield Padding(Text(trouble["load"], "bold cyan"), (0, 0, 0, 2))


def tensors(rows: Sequence[Data]) -> Table:
    """A table of tensors, each in a few numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("given", "shape", "min", "max", "mean", "not finite"):
        table.add_column(name, header_style="dim", overflow="fold")
    for one in rows:
        numbers = [number(one[key]) if key in one else "" for key in ("min", "max", "mean")]
        shape = " x ".join(map(str, one["shape"])) or "scalar"
        table.add_row(*map(Text, (one["name"], shape, *numbers, percent(one["not_finite"]))))
    return table


def verdict(data: Data) -> Panel:
    """The verdict, first and largest."""
    colour = COLOURS[data["verdict"]]
    lines = [Text(headline(data), f"bold {colour}")]
    if data["findings"]:
        lines[0].append(f"   {percent(data['findings'][0]['confidence'])} confident", "dim")
    if data["reason"]:
        lines.append(Text(data["reason"]))
    label = Text(f" {data['verdict'].upper()} ", f"bold reverse {colour}")
    return Panel(
        Group(*lines),
        title=label,
        title_align="left",
        subtitle=Text(command(data), "dim"),
        subtitle_align="right",
        border_style=colour,
        padding=(1, 2),
    )


def finding_parts(
    finding: Data, baseline: Data | None, ascii_only: bool
) -> Iterator[RenderableType]:
    """A finding: its proof, remedy, evidence and symptoms."""
    table = comparison(finding, baseline, ascii_only)
    if table or finding["verified"]:
        content = (table, proof_line(finding["verified"]))
        yield from section("Proof", *(part for part in content if part))
    if finding["remedy"]:
        yield from section(remedy_heading(finding), *remedy_lines(finding["remedy"]))
    if finding["evidence"]:
        yield from section("Evidence", evidence(finding["evidence"]))
    if finding["symptoms"]:
        yield from section("Explained by it", *map(symptom, finding["symptoms"]))


def section(name: str, *content: RenderableType) -> Iterator[RenderableType]:
    """A heading and what stands under it, indented, with a line of space after."""
    yield Text(name, "bold")
    yield indented(Group(*content))


def indented(content: RenderableType) -> Padding:
    """`content`, two columns in, with an empty line after it."""
    return Padding(content, (0, 0, 1, 2))


def comparison(finding: Data, baseline: Data | None, ascii_only: bool) -> Table | None:
    """Loss, measure and verified seeds: as the script is, and with the change."""
    changed = changed_trial(finding, baseline)
    rows = []
    if baseline and changed:
        rows += curve_rows("loss", loss_of(baseline), loss_of(changed), ascii_only)
        if baseline["measure"] and changed["measure"]:
            pair = measure_of(baseline), measure_of(changed)
            rows += curve_rows(changed["measure"]["name"], *pair, ascii_only)
    if finding["verified"]:
        shown_before = any(name == finding["verified"]["measure"] for name, _, _ in rows)
        rows += seed_rows(finding["verified"], shown_before)
    return two_columns(rows) if rows else None


def two_columns(rows: Sequence[tuple[str, str, str]]) -> Table:
    """A table of things as they are and as they are with the change."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", max_width=24, overflow="fold")
    table.add_column("as it is", style="red", header_style="red")
    table.add_column("with the change", style="green", header_style="green")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def curve_rows(
    name: str, before: Curve, after: Curve, ascii_only: bool
) -> list[tuple[str, str, str]]:
    """A row with two sparklines on one scale, and a row with where they end."""
    if not before.values and not after.values:
        return []
    one, two = sparklines([before, after], SPARK_WIDTH, ascii_only=ascii_only)
    return [(name, one, two), ("  ends at", end_of(before), end_of(after))]


def end_of(curve: Curve) -> str:
    """Where a curve ends, in words."""
    return number(settled(curve)) if curve.values else "not seen"


def seed_rows(verified: Data, shown_before: bool) -> list[tuple[str, str, str]]:
    """The verified measure: its mean over the seeds, and one number a seed."""
    name = "  mean of seeds" if shown_before else f"{verified['measure']}, mean"
    return [
        (name, number(mean(verified["before"])), number(mean(verified["after"]))),
        (f"  {seeds(verified['seeds'])}", number(verified["before"]), number(verified["after"])),
    ]


def proof_line(verified: Data | None) -> Text | None:
    """Whether the remedy held, and by how much."""
    if verified is None:
        return None
    held = "Held: " if verified["held"] else "Did not hold: "
    return Text.assemble((held, "bold"), gain(verified), verified["says"])


def remedy_lines(remedy: Data) -> list[RenderableType]:
    """What to change, and the code that it comes to."""
    lines: list[RenderableType] = [Text(remedy["says"])]
    if remedy.get("diff"):
        lines.append(Padding(Patch(remedy["diff"]), (0, 0, 0, 2)))
    elif remedy["edit"]:
        lines.append(Padding(Text(remedy["edit"], "bold cyan"), (0, 0, 0, 2)))
    return lines


class Patch:
    """A unified diff: what goes and what comes in the colours of before and after.

    A line that is too long goes on below under its own sign and deeper than it began, so that it is
    still read as code.
    """

    COLOURS: ClassVar = {"-": "red", "+": "green", "@": "dim"}

    def __init__(self, diff: str) -> None:
        self.lines = diff.rstrip().splitlines()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines as wide as there is room."""
        for line in self.lines:
            for one in wrapped(line, options.max_width):
                yield Text(one, self.COLOURS.get(line[:1], ""), no_wrap=True)


def wrapped(line: str, width: int) -> list[str]:
    """A line of a diff as lines of at most ``width`` columns, where it has blanks to break at."""
    sign, code = line[:1], line[1:]
    depth = len(code) - len(code.lstrip()) + 8
    found = textwrap.wrap(
        code,
        max(width - 1, depth + 12),
        subsequent_indent=" " * depth,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return [sign + one for one in found] or [sign]


def evidence(measurements: Mapping[str, Data]) -> Table:
    """A table of what was measured."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("measured", "value", "limit"):
        table.add_column(name, header_style="dim", max_width=22, overflow="fold")
    table.add_column("", ratio=1)
    for name, measurement in measurements.items():
        limit = "" if measurement.get("limit") is None else quantity(measurement, "limit")
        row = words(name), quantity(measurement), limit, measurement["says"]
        table.add_row(*map(Text, row))
    return table


def symptom(data: Data) -> Text:
    """One suspicion that the finding explains."""
    return Text.assemble((f"{title(data['cause'])}: ", "bold"), data["summary"])


def ruled_out(items: Sequence[Data]) -> Table:
    """Which causes were cleared, and by what."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(max_width=26, overflow="fold")
    table.add_column(ratio=1)
    for item in items:
        table.add_row(Text(title(item["cause"])), Text(item["why"], "dim"))
    return table


def run_lines(baseline: Data, ascii_only: bool) -> Group:
    """The script as it is, when there is nothing to compare it with."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    loss = loss_of(baseline)
    if loss.values:
        (line,) = sparklines([loss], SPARK_WIDTH, ascii_only=ascii_only)
        table.add_row(Text("loss"), Text(line), Text(f"ends at {number(settled(loss))}"))
    if baseline["measure"] and baseline["measure"]["values"]:
        measure = measure_of(baseline)
        (line,) = sparklines([measure], SPARK_WIDTH, ascii_only=ascii_only)
        name = Text(baseline["measure"]["name"])
        table.add_row(name, Text(line), Text(f"ends at {number(settled(measure))}"))
    return Group(table, Text(f"It {ending(baseline)}.", "dim"))


def budget_line(data: Data) -> str:
    """What the diagnosis cost."""
    budget = data["budget"]
    limit = "" if budget["limit"] is None else f" of {duration(budget['limit'])}"
    text = f"{counted(budget['trials'], 'trial')} in {duration(budget['seconds'])}{limit}"
    if budget["plain_seconds"] is not None:
        text += f"; the script alone takes {duration(budget['plain_seconds'])}"
    if budget["interrupted"]:
        text += "; interrupted: this is what was known by then"
    return f"{text}."
