"""What can be explained: obstacles, optimizers, methods, searches, interventions, by their names.

The explanations are the docstrings of the modules. They are read from the source without
importing it, so that `thalweg explain` answers at once and needs no PyTorch.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import chain
from textwrap import dedent

from thalweg.cli.methods import DIRECTION_PAGES, SEARCH_PAGES, Page


@dataclass(frozen=True)
class Topic:
    """One thing that `thalweg explain` knows.

    Attributes:
        kind: `obstacle`, `optimizer`, `method`, `search` or `intervention`.
        name: What a user calls it.
        text: Its explanation, in Markdown; the first line says what it is.
    """

    kind: str
    name: str
    text: str

    @property
    def summary(self) -> str:
        """The first line of the explanation."""
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Shelf:
    """Where the topics of one kind stand, and what names them.

    Attributes:
        kind: The kind of the topics.
        folder: The folder of the package that they stand in.
        constant: The constant, of a module or of a class in it, that holds the topic's name;
            a module without it is no topic. None: every module is one, named by its file.
    """

    kind: str
    folder: tuple[str, ...]
    constant: str | None


@dataclass(frozen=True)
class Binder:
    """The topics of one kind whose names stand in no file of their own."""

    kind: str
    pages: Mapping[str, Page]


SHELVES = (
    Shelf("obstacle", ("obstacles",), "CODE"),
    Shelf("optimizer", ("optim", "rules"), None),
    Binder("method", DIRECTION_PAGES),
    Binder("search", SEARCH_PAGES),
    Shelf("intervention", ("interventions",), "kind"),
)

SECTION = re.compile(
    r"^(?P<heading>[^\s*`-][^\n]*[^\s:.,])\n(?P<block>(?: {4}[^\n]*(?:\n|\Z)|\n(?= {4}))+)", re.M
)


def topics(kind: str | None = None) -> list[Topic]:
    """All topics, or those of one kind, in the order of the shelves and then of their names."""
    return [topic for shelf in SHELVES if kind in (None, shelf.kind) for topic in on_shelf(shelf)]


def codes() -> list[str]:
    """The codes of all obstacles."""
    return [topic.name for topic in topics("obstacle")]


def canonical(name: str) -> str:
    """`name` as topics are named: lower case, words joined by hyphens."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def on_shelf(shelf: Shelf | Binder) -> list[Topic]:
    """The topics of one shelf by name."""
    if isinstance(shelf, Binder):
        pages = sorted(shelf.pages.items())
        return [Topic(shelf.kind, name, markdown(page.text)) for name, page in pages]
    found = (topic_in(source, shelf) for source in sources(shelf.folder))
    return sorted((topic for topic in found if topic), key=lambda topic: topic.name)


def sources(folder: tuple[str, ...]) -> Iterator[Traversable]:
    """The modules of a folder of this package, without those that begin with an underscore."""
    place = files("thalweg").joinpath(*folder)
    if place.is_dir():
        for entry in place.iterdir():
            if entry.name.endswith(".py") and not entry.name.startswith("_"):
                yield entry


def topic_in(source: Traversable, shelf: Shelf) -> Topic | None:
    """The topic that a module explains, if it is one."""
    module = ast.parse(source.read_text(encoding="utf-8"))
    name = source.name.removesuffix(".py") if shelf.constant is None else None
    name = name or constant(module, shelf.constant or "")
    if name is None:
        return None
    return Topic(shelf.kind, canonical(name), markdown(ast.get_docstring(module) or ""))


def markdown(docstring: str) -> str:
    """A docstring as Markdown: a line with an indented block right below it is its heading."""
    return SECTION.sub(lambda m: f"## {m['heading']}\n\n{dedent(m['block'])}", docstring)


def constant(module: ast.Module, name: str) -> str | None:
    """The text that a module, or a class in it, assigns to `name`."""
    classes = [statement.body for statement in module.body if isinstance(statement, ast.ClassDef)]
    for statement in chain(module.body, *classes):
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=str(text)))
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.Constant(value=str(text)))
            ) if target == name:
                return text
    return None
