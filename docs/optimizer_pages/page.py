"""The page of one optimizer, in Markdown."""

import inspect
from collections.abc import Iterator, Mapping

from optimizer_pages import paths as walks
from optimizer_pages.docstrings import HEADINGS
from optimizer_pages.families import walker as walker_of
from optimizer_pages.paths import Path, Terrain
from optimizer_pages.subjects import Subject
from optimizer_pages.tables import (
    fact_table,
    hyperparameter_table,
    signature,
    state_table,
    table,
)

TITLES = {"When": "When to choose it"}

Paths = Mapping[str, Mapping[str, Path]]


def page(subject: Subject, paths: Paths, terrains: Mapping[str, Terrain]) -> str:
    """Everything about one subject; its picture is `NAME.svg` beside the page."""
    return "\n\n".join(part for part in parts(subject, paths, terrains) if part) + "\n"


def parts(subject: Subject, paths: Paths, terrains: Mapping[str, Terrain]) -> Iterator[str]:
    """The parts of a page in order; some may be empty."""
    told = subject.explanation
    yield f"# {subject.title}"
    yield subject.lead
    yield told.preface
    yield calls(subject)
    yield pictured(subject, paths, terrains)
    for heading in HEADINGS[:-1]:
        if heading in told.sections:
            yield f"## {TITLES.get(heading, heading)}\n\n{told.sections[heading]}"
        if heading == "Formula":
            yield code(subject)
    yield titled("State", state_table(subject), "None.")
    yield titled("Hyperparameters", hyperparameter_table(subject))
    yield titled("Facts", fact_table(subject), "None of those that are tested.")
    if "Reference" in told.sections:
        yield f"## Reference\n\n{told.sections['Reference']}"


def titled(title: str, text: str, otherwise: str = "") -> str:
    """A section, with a sentence in place of an empty text."""
    return f"## {title}\n\n{text or otherwise}"


def calls(subject: Subject) -> str:
    """How its optimizers are made, and what each says beyond the rule."""
    shown = []
    for made in subject.classes:
        own = (made.__doc__ or "").removesuffix(subject.doc).strip()
        shown += [f"```python\n{signature(made)}\n```", own]
    if not subject.classes:
        shown = [f'No class; the rule is `thalweg.optim.RULES["{subject.name}"]`.']
    return "\n\n".join(filter(None, shown))


def code(subject: Subject) -> str:
    """The formula as it runs."""
    if "(" in subject.rule.name:  # wrapped: no one function says it all
        return ""
    source = inspect.getsource(subject.rule.formula).replace("  # type: ignore[no-untyped-def]", "")
    return f"The same as it runs:\n\n```python\n{source.replace('  # fmt: skip', '').strip()}\n```"


def pictured(subject: Subject, paths: Paths, terrains: Mapping[str, Terrain]) -> str:
    """The picture, with the rates that were found for it."""
    rates = walks.RATES
    names = ", ".join(label for label in next(iter(paths.values())) if label != subject.name)
    beside = f" beside {names}" if names else ""
    alt = f"Paths of {subject.name}{beside} on three landscapes"
    return (
        f"![{alt}]({subject.name}.svg)\n\n"
        "The ring is the start, crosses are minimizers, a dot is a step. Each path takes the "
        f"learning rate that suits it best of {len(rates)} from {rates[0]:.1g} to {rates[-1]:g}, "
        "a quarter of a decade apart: the lowest mean logarithm of the loss above its minimum, "
        "among the rates at which the loss never exceeds that of the start. All else is at its "
        "default, or as the table says.\n\n" + rate_table(paths, terrains)
    )


def rate_table(paths: Paths, terrains: Mapping[str, Terrain]) -> str:
    """For each walker and landscape the rate and how far it came."""
    labels = list(next(iter(paths.values())))
    head = ["lr → loss above its minimum"]
    head += [f"{t.title}, {t.steps} steps" for t in terrains.values()]
    rows = [
        [
            named(label),
            *(f"{paths[k][label].lr:.2g} → {paths[k][label].excess:.1g}" for k in terrains),
        ]
        for label in labels
    ]
    return table(head, rows)


def named(label: str) -> str:
    """A walker's label, with its settings where the label does not say them."""
    walker = walker_of(label)
    changed = ", ".join(f"{name}={value}" for name, value in walker.settings.items())
    return f"{label} ({changed})" if changed and label == walker.rule else label
