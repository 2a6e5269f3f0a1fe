"""A progress bar on standard error, by rich, gone when the run has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thalweg.training.history import Epoch, Fitted

Show = Callable[[Fitted], None]


@contextmanager
def shown(epochs: int, wanted: bool) -> Iterator[Show]:
    """A function that moves the bar; it does nothing where none is wanted.

    Raises:
        ModuleNotFoundError: rich is not there.
    """
    if not wanted:
        yield lambda _: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "fit(progress=True): the bar needs rich: pip install 'thalweg[training]', or leave "
            "progress=False."
        ) from error
    columns = TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[s]}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("epoch", total=epochs, s="")

        def show(so_far: Fitted) -> None:
            done = so_far.epochs
            says = in_words(done[-1]) if done else ""
            bar.update(task, completed=len(done), s=f"step {so_far.steps}  {says}")

        yield show


def in_words(epoch: Epoch) -> str:
    """What an epoch measured, in a few words."""
    values = {
        "loss": epoch.train_loss,
        "held-out loss": epoch.validation_loss,
        "held-out metric": epoch.validation_metric,
    }
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)
