"""A recording read back from its folder: plain data, no tensors, no PyTorch.

Files: ``steps.jsonl`` (one line a step: optimizer, step, loss, rate, the gradient's norm in a run
that is recorded in full, and ``stale`` where true), ``samples.jsonl`` (one line a step in full),
``readings.jsonl`` (one line a reading of the script's own), ``moments.npz`` (mean and deviation of
the data at each entrance), ``summary.json``; of samples that were counted or set aside
``samples.json`` and ``set_aside.json``. Lines and NumPy's archive need nothing that the core
does not have, and a run that was cut off leaves every line that it had written.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# By preference, where one line of a script reads several.
HIGHER_IS_BETTER = {"accuracy": True, "error rate": False, "loss": False, "error": False,
                    "rate": True, "score": True}  # fmt: skip
PREFERENCE = list(HIGHER_IS_BETTER)
# What the names of a library's metrics end with, by its convention, and what such a metric is.
ENDINGS = {"score": "score", "auc": "score", "corrcoef": "score", "error": "error", "loss": "loss",
           "deviance": "loss"}  # fmt: skip
SET_ASIDE = "samples set aside"  # the site of readings that are not the script's own
SET_ASIDE_FILE, COUNTS_FILE = "set_aside.json", "samples.json"


def name_of_measure(measure: tuple[str, str]) -> str:
    """A measure (site and kind) in words, as in "accuracy at train.py:30"."""
    site, kind = measure
    return f"{kind} of {site}" if site == SET_ASIDE else f"{kind} at {site}"


def sort_of(kind: str) -> str:
    """The sort of measure that a kind is one of: a score for ``f1 score``; else itself."""
    return kind if kind in HIGHER_IS_BETTER else ENDINGS.get(kind.rpartition(" ")[2], kind)


def higher_is_better(kind: str) -> bool:
    """Whether more of this kind is better."""
    return HIGHER_IS_BETTER.get(sort_of(kind), False)


@dataclass
class Recording:
    """What was seen of one run.

    Attributes:
        steps: One row a step.
        samples: One row a step in full, in order.
        readings: What the script read out of its model, and what of samples that were set aside.
        moments: ``mean0, std0, count0, mean1 ...`` of the data that entered.
        summary: Steps, seconds, optimizers, parameters that were not trained.
        counts: How many samples there were and how often they came (`recorder.sample_count`).
        set_aside: Which share of them was set aside, how many, and why that tells nothing.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    moments: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    set_aside: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """The recording in this folder; files that a run did not get to write are empty."""
        moments: dict[str, Any] = {}
        if (folder / "moments.npz").exists():
            with np.load(folder / "moments.npz", allow_pickle=False) as archive:
                moments = dict(archive)
        aside = _whole(folder / SET_ASIDE_FILE)
        return cls(
            _lines(folder / "steps.jsonl"),
            _lines(folder / "samples.jsonl"),
            _lines(folder / "readings.jsonl") + aside.pop("readings", []),
            moments,
            _whole(folder / "summary.json"),
            _whole(folder / COUNTS_FILE),
            aside,
        )

    def losses(self, optimizer: int = 0) -> list[float]:
        """The loss of every step of one optimizer; not a number where it was not finite."""
        rows = (row for row in self.steps if row["optimizer"] == optimizer)
        return [math.nan if row["loss"] is None else row["loss"] for row in rows]

    @property
    def optimizers(self) -> list[int]:
        """Which optimizers have made steps."""
        return sorted({row["optimizer"] for row in self.steps})

    def measure(self) -> tuple[str, str] | None:
        """Site and kind of the script's own last evaluation; None if it has none.

        Evaluations are, in this order: readings made without gradients after the last update;
        readings made with gradients after it, on a line that made none before (a line that did
        prints the training loss); readings made without gradients at any time. The line that read
        last is taken: what a script computes to tell how good it is comes at its end. Of what that
        line reads the best kind is taken: an accuracy before a loss, an error, a rate, a score.

        Of a library's metrics those that certainly are of the model make the doubtful ones void.
        """
        last = max((row["step"] for row in self.steps), default=-1) + 1
        rows = [one for one in self.readings if one["kind"] != "value"]
        if any(one.get("doubtful") is False for one in rows):
            rows = [one for one in rows if not one.get("doubtful")]
        early = {one["site"] for one in rows if one["step"] < last}
        choices = (
            [one for one in rows if one["step"] >= last and not one["training"]],
            [one for one in rows if one["step"] >= last and one["site"] not in early],
            [one for one in rows if not one["training"]],
        )
        final = next((found for found in choices if found), [])
        if not final:
            return None
        site = final[-1]["site"]
        kinds = {one["kind"] for one in final if one["site"] == site}
        return site, min(sorted(kinds), key=lambda kind: PREFERENCE.index(sort_of(kind)))

    def series(self, measure: tuple[str, str]) -> list[tuple[int, float]]:
        """The values of a measure over the steps; not a number where it was not finite.

        Of several passes at one step (over the training set, then over the test set) the last
        counts.
        """
        found = {
            one["step"]: math.nan if one["value"] is None else one["value"]
            for one in self.readings
            if (one["site"], one["kind"]) == measure
        }
        return sorted(found.items())


def _whole(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # the line that a cut-off run was writing
            break
    return rows
