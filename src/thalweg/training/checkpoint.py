"""A run on disk, from which it continues bit for bit.

A checkpoint holds nothing but tensors and plain data, so that it can be loaded without running
anyone's code (`weights_only=True`). It is written beside its place, forced to the disk and renamed:
whatever happens and when, there is a whole checkpoint under its name, the last or the one before.
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

FORMAT = "thalweg.training.fit"
VERSION = 1
# What PyTorch raises for a file that was cut, is no archive, or holds more than data.
BROKEN = (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, OSError)


class CheckpointError(Exception):
    """A checkpoint cannot be written, read, or continued from; the message says what to do."""


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all.

    Raises:
        CheckpointError: the file cannot be written, or the state holds what a safe load refuses.
            What was at `path` before is still there.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        _check(path, partial)
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"fit(checkpoint={str(path)!r}): cannot write: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _check(path: Path, partial: Path) -> None:
    if unsafe := torch.serialization.get_unsafe_globals_in_checkpoint(partial):
        raise CheckpointError(
            f"fit(checkpoint={str(path)!r}): the state of the model, the optimizer, the schedule "
            f"or the average holds {', '.join(sorted(unsafe))}, which a safe load refuses. Keep "
            "tensors, numbers and strings there."
        )


def _sync_folder(folder: Path) -> None:
    """Let the new name reach the disk, where the system can say so."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partial(path: Path) -> None:
    """Remove what a run that was killed while it wrote has left beside `path`."""
    for left in path.parent.glob(f".{path.name}.????????"):
        left.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """A state that `write` wrote, on the CPU.

    Raises:
        CheckpointError: the file is cut, or no checkpoint of `fit`.
    """
    call = f"fit(checkpoint={str(path)!r})"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except BROKEN as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{call}: the file there is not a whole checkpoint ({first}). Name another file, or "
            "remove it to begin anew."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{call}: the file there was not written by fit. Name another file: this one would be "
            "overwritten."
        )
    if state["version"] != VERSION:
        raise CheckpointError(
            f"{call}: it is of version {state['version']}, and this is version {VERSION}; continue "
            "with the release of thalweg that wrote it."
        )
    return state


def load(path: Path, name: str, part: Any, state: Any) -> None:
    """Give a part of the run its state.

    Raises:
        CheckpointError: the state is of another one.
    """
    try:
        part.load_state_dict(state)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"fit(checkpoint={str(path)!r}): the {name} saved there is another one ({error}). "
            "Give the run what it had, or name another file to begin anew."
        ) from error


def check_same(path: Path, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse to continue a run that was another one.

    Raises:
        CheckpointError: a fact differs; the message names it with both values.
    """
    for name, value in own.items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"fit(checkpoint={str(path)!r}): the run saved there had {name} = "
                f"{saved.get(name)!r}, and this one has {value!r}. Give what it had, or name "
                "another file to begin anew."
            )
