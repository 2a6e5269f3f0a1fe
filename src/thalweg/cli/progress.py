"""A progress bar with its time on standard error, gone when the work is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """How far some work has come: `done` of `total`, and what it is doing now."""

    @property
    def done(self) -> int:
        """How many parts are done."""

    @property
    def total(self) -> int:
        """How many parts there are, as far as is known."""

    @property
    def says(self) -> str:
        """What is being done, in a few words."""


@contextmanager
def shown(first: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar that starts with the words `first`, and give the function that moves it.

    On a terminal only: standard error that goes to a file receives nothing.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total}", markup=False),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(first, total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=progress.says
            )

        yield show
