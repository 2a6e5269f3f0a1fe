"""`thalweg explain`: what an obstacle, an optimizer, a method, a search or an intervention is."""

import argparse
import inspect
from itertools import groupby

from thalweg.cli.catalogue import Topic, canonical, topics
from thalweg.cli.command import Command, UsageError, hint

PLURALS = {"search": "searches"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to explain (default: a list)")


def run(options: argparse.Namespace) -> int:
    """Print one explanation, or the list of all that can be explained."""
    from rich.console import Console
    from rich.markdown import Markdown

    text = listing() if options.name is None else explanation(options.name)
    Console().print(Markdown(text))
    return 0


def explanation(name: str) -> str:
    """The explanation of `name`, in Markdown.

    Raises:
        UsageError: Nothing has this name; the message gives the nearest that has one.
    """
    found = [topic for topic in topics() if topic.name == canonical(name)]
    found = found or modified_rules(canonical(name)) or respelled(name)
    if not found:
        known = [topic.name for topic in topics()]
        raise UsageError(
            f"nothing is called {name!r}{hint(canonical(name), known)} "
            "`thalweg explain` lists all names"
        )
    return "\n\n".join(f"# {topic.name} ({topic.kind})\n\n{topic.text}" for topic in found)


def modified_rules(name: str) -> list[Topic]:
    """The optimizer of this name that has no file of its own, being a rule with a modification."""
    from thalweg.optim import OPTIMIZERS

    made = OPTIMIZERS.get(name)
    return [Topic("optimizer", name, inspect.getdoc(made) or "")] if made else []


def respelled(name: str) -> list[Topic]:
    """The methods and searches that people may write so: `lbfgs`, `cg`, `lm`."""
    from thalweg.minimize.spelling import known_as

    of = [topic for kind in ("method", "search") for topic in topics(kind)]
    meant = known_as(name.strip(), [topic.name for topic in of])
    return [topic for topic in of if topic.name == meant]


def listing() -> str:
    """All names with their first lines, by kind, in Markdown."""
    return "\n\n".join(
        f"# {PLURALS.get(kind, kind + 's')}\n\n" + "\n".join(map(entry, found))
        for kind, found in groupby(topics(), key=lambda topic: topic.kind)
    )


def entry(topic: Topic) -> str:
    """One line of the list."""
    return f"* **{topic.name}**: {topic.summary}"


COMMAND = Command(
    name="explain",
    summary="say what an obstacle, an optimizer, a method or an intervention is",
    usage="[NAME]",
    description=(
        "Explain an obstacle, an optimizer, a method, a search or an intervention;\n"
        "without a name, list all."
    ),
    example="thalweg explain learning-rate-too-high",
    python='print(thalweg.explain("learning-rate-too-high"))',
    configure=configure,
    run=run,
    needs=("rich",),
)
