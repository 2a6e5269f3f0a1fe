"""Tables of a page: what a rule keeps, what can be set, and which laws it obeys."""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from optimizer_pages.paths import optimizer_of
from optimizer_pages.subjects import Subject
from thalweg.optim import GLOSSARY, Hyperparameter, Rule, RuleOptimizer
from thalweg.optim.rule import Slot

FACTS = {
    "pointwise": "No coordinate sees another: tensors may be flattened, joined, cut and sharded.",
    "odd": "Mirrored parameters and gradients take the mirrored path: up and down are alike.",
    "loss-scale-invariant": "A loss multiplied by a constant takes the same path (with eps = 0).",
    "rotation-equivariant": "No axis is special: rotated coordinates take the rotated path.",
    "orthogonally-equivariant": "Rows and columns of a matrix may be turned: the path turns along.",
}
ROWS, COLUMNS = 6, 4
SIDE = 256


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def state_table(subject: Subject) -> str:
    """The state that is kept for each parameter, seen after a step on a matrix."""
    rule, shapes = subject.rule, kept(subject, (ROWS, COLUMNS), {})
    always = set(shapes)
    for settings in opened(rule):
        shapes |= kept(subject, (ROWS, COLUMNS), settings)
    rows = []
    for s in rule.slots:
        needed = switch(rule, s) if s.name not in always else None
        condition = f"`{needed}`" if needed else "–"
        rows.append((f"`{s.name}`", f"`{s.argument}`", told(shapes.get(s.name)), condition))
    if rule.counts_steps:
        rows.append(("`step`", "`t`", "a number: how often this parameter has stepped", "–"))
    return table(("in `state_dict`", "in the formula", "shape", "only with"), rows) if rows else ""


def kept(
    subject: Subject, shape: tuple[int, ...], settings: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of state after one step on a parameter."""
    p = torch.nn.Parameter(torch.ones(shape))
    optimizer = optimizer_of(subject.name)([p], form="each", **settings)
    p.grad = torch.linspace(-1, 1, p.numel()).reshape(shape)
    optimizer.step()
    state = optimizer.state[p]
    return {name: tuple(x.shape) for name, x in state.items() if isinstance(x, torch.Tensor)}


def opened(rule: Rule) -> Iterator[dict[str, Any]]:
    """Settings under which every slot is kept by one or the other, with all that is off turned on.

    A switch that is one of several names is tried at each.
    """
    switches = {name for s in rule.slots if (name := switch(rule, s))}
    values = {name: choices_of(rule.terms[name]) for name in sorted(switches)}
    for turn in range(max(map(len, values.values()), default=1)):
        yield {name: some[turn % len(some)] for name, some in values.items()}


def switch(rule: Rule, slot: Slot) -> str | None:
    """The hyperparameter that is off by default and without which the slot may be left out."""
    if slot.when:
        return None if rule.hyperparameters[slot.when] else slot.when
    off = (name for name in slot.asks if rule.hyperparameters.get(name, True) in (None, False))
    return next((name for name in off if is_named(rule.terms[name])), None)


def is_named(entry: Hyperparameter) -> bool:
    """Whether a hyperparameter is a switch or one of several names, and no number."""
    return entry.switch or bool(entry.choices)


def choices_of(entry: Hyperparameter) -> tuple[Any, ...]:
    """The values of a hyperparameter that turn on what it stands for."""
    return entry.choices or ((True,) if entry.switch else (0.9,))


def told(shape: tuple[int, ...] | None) -> str:
    """A shape in words."""
    if shape is None:
        return "not for a matrix"
    if shape == (ROWS, COLUMNS):
        return "as the parameter"
    letters = {ROWS: "m", COLUMNS: "n"}
    sizes = " × ".join(letters.get(size, str(size)) for size in shape if size != 1)
    return f"{sizes}, for an m × n matrix" if sizes else "a number"


def bytes_kept(subject: Subject) -> str:
    """Bytes of state for each entry of a square float32 matrix, at the defaults."""
    shapes = kept(subject, (SIDE, SIDE), {})
    shapes.pop("step", None)
    share = 4 * sum(torch.Size(shape).numel() for shape in shapes.values()) / SIDE**2
    return f"{share:.2g}" if share > 1e-3 else "0"


def hyperparameter_table(subject: Subject) -> str:
    """Everything that can be set, with the glossary's words; the wrappers' after the rule's own."""
    rows = []
    for name, default in settings(subject):
        entry = subject.rule.terms.get(name, GLOSSARY[name])
        rows.append((f"`{name}`", f"`{default!r}`", entry.meaning, entry.domain))
    return table(("name", "default", "meaning", "must be"), rows)


def settings(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Names and defaults: the first class's, or the rule's where there is none."""
    shown = dict(subject.classes[0].standard) if subject.classes else {}
    rule = subject.classes[0].rule if subject.classes else subject.rule
    for name, default in {**subject.rule.hyperparameters, **rule.hyperparameters}.items():
        yield name, shown.get(name, default)


def fact_table(subject: Subject) -> str:
    """The laws that the rule obeys, and which the tests hold it to."""
    rows = [(f"**{fact}**", FACTS[fact]) for fact in FACTS if fact in subject.rule.facts]
    return table(("fact", "what it says"), rows) if rows else ""


def signature(made: type[RuleOptimizer]) -> str:
    """How an optimizer is called; `...` for what every optimizer takes besides."""
    parameters = inspect.signature(made).parameters.values()
    words = [str(p) for p in parameters if p.name in {"params", *made.rule.hyperparameters}]
    start = f"{made.__name__}("
    folded = textwrap.wrap(", ".join([*words, "..."]), 88 - len(start), break_long_words=False)
    return start + f"\n{' ' * len(start)}".join(folded) + ")"
