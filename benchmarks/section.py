"""What a row of a benchmark hands back: tables, the aims that they speak of, and their Markdown.

An aim is met, missed, or not seen: no figure of ours, or a run too short to tell.
"""

from dataclasses import dataclass, field

from stepping.tables import markdown


@dataclass(frozen=True)
class Scale:
    """How much is to be measured."""

    quick: bool = False
    peers: tuple[str, ...] = ()
    seeds: int = 1000  # of the statements about probabilities
    turns: int = 9  # of what is timed


@dataclass(frozen=True)
class Aim:
    """A figure that must not be larger than `most`, in as many decimals as `most` is given in."""

    words: str
    value: float | None  # None where it could not be measured
    most: float
    decimals: int | None = None
    shown: str = ""  # how the value is printed, where not as it is

    @property
    def met(self):
        return self.value is not None and self.rounded <= self.most

    @property
    def rounded(self):
        return self.value if self.decimals is None else round(self.value, self.decimals)

    def line(self):
        if self.value is None:
            return f"* {self.words}: not measured"
        found = self.shown or f"{self.value:.3g}"
        return f"* {self.words}: {found}, {'met' if self.met else '**missed**'}"


@dataclass
class Section:
    title: str
    words: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def markdown(self):
        parts = [f"## {self.title}", self.words]
        if self.rows:
            parts.append(markdown(self.head, self.rows))
        parts += ["\n".join(f"* {note}" for note in self.notes)] * bool(self.notes)
        parts += ["Aims:\n\n" + "\n".join(aim.line() for aim in self.aims)] * bool(self.aims)
        return "\n\n".join(parts)

    def as_data(self):
        aims = [{**vars(aim), "met": aim.met} for aim in self.aims]
        return {**vars(self), "aims": aims}


def sure(value):
    """A relative error, to two digits."""
    return "0" if value == 0 else f"{value:.1e}"
