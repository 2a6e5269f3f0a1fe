"""The overview: every optimizer by family, with what it keeps and when to choose it."""

from collections.abc import Iterator, Mapping

from optimizer_pages.families import FAMILIES, family, place
from optimizer_pages.subjects import Subject
from optimizer_pages.tables import FACTS, bytes_kept, table
from thalweg.optim.rule import IMPLIED

SHORT = {
    "pointwise": "pw",
    "odd": "odd",
    "loss-scale-invariant": "scale",
    "rotation-equivariant": "rot",
    "orthogonally-equivariant": "orth",
}


def overview(subjects: Mapping[str, Subject]) -> str:
    """A table for each family, and what the abbreviations in it mean."""
    groups = ["\n\n".join(group) for group in by_family(subjects)]
    return "\n\n".join([*groups, "## Facts", legend()])


def by_family(subjects: Mapping[str, Subject]) -> Iterator[tuple[str, str]]:
    """Each family's heading and table."""
    for title in (*FAMILIES, "Others"):
        members = [each for each in subjects.values() if family(each.name) == title]
        members.sort(key=lambda each: place(each.name))
        if members:
            head = ("optimizer", "year", "bytes", "facts", "when to choose it")
            yield f"## {title}", table(head, map(row, members))


def row(subject: Subject) -> tuple[str, ...]:
    """One optimizer in the overview."""
    told = subject.explanation
    implied = {IMPLIED[fact] for fact in subject.rule.facts if fact in IMPLIED}
    facts = " ".join(short(f) for f in FACTS if f in subject.rule.facts - implied)
    link = f"[{subject.title}](optimizers/{subject.name}.md)"
    return link, told.year, bytes_kept(subject), facts or "–", told.advice


def short(fact: str) -> str:
    """A fact's abbreviation, which says the whole under a pointer."""
    return f'<abbr title="{fact}">{SHORT[fact]}</abbr>'


def legend() -> str:
    """What the abbreviations of the facts stand for."""
    return table(("", "fact", "what it says"), [(SHORT[f], f, text) for f, text in FACTS.items()])
