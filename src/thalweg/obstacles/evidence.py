"""A recording as the obstacles ask about it: questions with one answer each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thalweg.recorder import Recording
from thalweg.recorder.anatomy import SATURATING

Row = dict[str, Any]
STILL = 0.02  # of the loss: what moves by less stands still


@dataclass(frozen=True)
class Evidence:
    """What a recording shows.

    Attributes:
        recording: The run as it is.
        main: Which optimizer the questions are about: the one with the most parameters in full.
    """

    recording: Recording

    @cached_property
    def main(self) -> int:
        """The optimizer whose loss is followed: the first one."""
        return self.recording.optimizers[0] if self.recording.optimizers else 0

    @cached_property
    def samples(self) -> list[Row]:
        """The steps in full of the main optimizer."""
        return [one for one in self.recording.samples if one["optimizer"] == self.main]

    @cached_property
    def first(self) -> Row:
        """The first step in full; empty if there is none."""
        return self.samples[0] if self.samples else {}

    @cached_property
    def losses(self) -> list[float]:
        """The loss of every step."""
        return self.recording.losses(self.main)

    @cached_property
    def gradient_norms(self) -> list[float]:
        """The gradient's norm at every step; infinite where it was not finite, empty if unknown."""
        rows = [row for row in self.recording.steps if row["optimizer"] == self.main]
        return [
            math.inf if row["gradient"] is None else row["gradient"]
            for row in rows
            if "gradient" in row
        ]

    @property
    def adversarial(self) -> bool:
        """Whether several optimizers follow losses of their own."""
        firsts = {self.recording.losses(one)[0] for one in self.recording.optimizers}
        return len(firsts) > 1

    @property
    def initial_loss(self) -> float:
        """Mean loss of the first steps (at most 5, at most a twentieth of the run)."""
        head = self.losses[: max(1, min(5, len(self.losses) // 20))]
        return statistics.fmean(head) if head else math.nan

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the run; infinite if any of it is not finite."""
        return final(self.losses)

    @property
    def diverged(self) -> bool:
        """Whether the loss stopped being finite, or ended far above where it began."""
        return (
            not math.isfinite(self.final_loss)
            or self.final_loss > 2 * abs(self.initial_loss) + 1e-12
        )

    @property
    def left(self) -> float:
        """The final loss over the initial one; 0 where that says nothing (losses below zero)."""
        return self.final_loss / self.initial_loss if self.initial_loss > 0 else 0.0

    @property
    def late_fall(self) -> float:
        """The fall of the loss over the last third of the run, as a share of it.

        From the tenth of the run before it to the last tenth; what lies within two standard errors
        is no fall.
        """
        tenth, begin = len(self.losses) // 10, 2 * len(self.losses) // 3
        before, after = self.losses[begin - tenth : begin], self.losses[len(self.losses) - tenth :]
        if tenth < 2 or not all(map(math.isfinite, (*before, *after))):
            return 0.0
        start = statistics.fmean(before)
        fall = start - statistics.fmean(after)
        error = math.sqrt((statistics.variance(before) + statistics.variance(after)) / tenth)
        return fall / abs(start) if start and abs(fall) > 2 * error else 0.0

    @property
    def waits(self) -> float:
        """The share of the run before the loss has fallen by 2 %, and beyond chance."""
        window = max(1, len(self.losses) // 20)
        head = self.losses[:window]
        if not head or not all(map(math.isfinite, self.losses)):
            return 0.0
        first = statistics.fmean(head)
        spread = statistics.pstdev(head) / math.sqrt(window)
        below = first - max(STILL * abs(first), 3 * spread)
        means = (statistics.fmean(self.losses[at : at + window]) for at in self._starts(window))
        return next(
            (at * window for at, mean in enumerate(means) if mean < below), len(self.losses)
        ) / len(self.losses)

    def _starts(self, window: int) -> range:
        return range(0, len(self.losses) - window + 1, window)

    def is_still_since(self, step: int) -> bool:
        """Whether the mean loss of a tenth of the run from there on is the final one within 2 %."""
        tenth = max(2, len(self.losses) // 10)
        then = self.losses[step : step + tenth]
        if len(self.losses) - step < 2 * tenth or not all(map(math.isfinite, then)):
            return False
        mean = statistics.fmean(then)
        return abs(self.final_loss - mean) <= STILL * abs(mean)

    @property
    def units_are_alike(self) -> bool:
        """Whether all units of some hidden layer, or the rows of a parameter, start as one."""
        twins = any(one.get("twins", 0) > 0.99 for one in self.layers()[:-1])
        return twins or bool(self.rows_alike)

    @cached_property
    def rows_alike(self) -> list[str]:
        """Parameters whose rows start as one row repeated and are still that at the end.

        Where another parameter tells them apart (the scales of components whose means are one),
        their gradients show it.
        """
        ends = [self.first, self.samples[-1]] if len(self.samples) > 1 else []
        found = [
            {one["name"] for one in end.get("parameters", []) if one.get("alike")} for end in ends
        ]
        return sorted(set.intersection(*found)) if found else []

    @property
    def units_are_dead(self) -> bool:
        """Whether half of some hidden layer is constant, at the start or at the end."""
        return self._many("dead")

    @property
    def units_are_saturated(self) -> bool:
        """Whether half of what some hidden layer gives is on the flat part of its activation."""
        return self._many("saturated")

    def _many(self, what: str) -> bool:
        ends = [self.samples[0], self.samples[-1]] if self.samples else []
        return any((one.get(what) or 0.0) >= 0.5 for end in ends for one in self.hidden(end))

    @cached_property
    def optimizer(self) -> Row:
        """Kind and settings of the main optimizer; empty if updates are made by hand."""
        found = self.recording.summary.get("optimizers", [])
        return found[self.main] if self.main < len(found) else {}

    @property
    def rate(self) -> float:
        """The learning rate of the first step."""
        return next(
            (row["rate"] for row in self.recording.steps if row["optimizer"] == self.main), 0.0
        )

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting of the main optimizer."""
        return self.optimizer.get("settings", {}).get(name, default)

    def probes(self, name: str) -> list[tuple[int, Any]]:
        """What a probe found, by step."""
        return [
            (one["step"], one["probes"][name])
            for one in self.samples
            if name in one.get("probes", {})
        ]

    def layers(self, sample: Row | None = None) -> list[Row]:
        """The layers of a step in full (the first), in order."""
        return list((self.first if sample is None else sample).get("layers", []))

    def hidden(self, sample: Row | None = None) -> list[Row]:
        """The hidden activations of a step in full (the first), in order."""
        found = (self.first if sample is None else sample).get("activations", [])
        return [one for one in found if one["hidden"] and "dead" in one]

    @property
    def activation_kinds(self) -> list[str]:
        """The kinds of all activations of a forward pass, in order."""
        return [one["kind"] for one in self.first.get("activations", [])]

    @property
    def hidden_positions(self) -> list[int]:
        """Which of them are hidden."""
        return [i for i, one in enumerate(self.first.get("activations", [])) if one["hidden"]]

    @property
    def hidden_layers(self) -> list[int]:
        """Positions of all layers but the last."""
        return list(range(len(self.layers()) - 1))

    @property
    def scheme(self) -> str:
        """The initialization that fits the hidden activations."""
        kinds = [self.activation_kinds[i] for i in self.hidden_positions]
        if not kinds:
            return "lecun"
        return "glorot" if all(kind in SATURATING for kind in kinds) else "he"

    def gradient_of(self, layer: Row, sample: Row) -> float | None:
        """The gradient's norm over the norm of the layer's weights, at a step in full."""
        own = [one for one in sample.get("parameters", []) if one["name"] in layer["weights"]]
        big = max(own, key=lambda one: math.prod(one["shape"]), default=None)
        if big is None or big["gradient"] is None or not big["norm"]:
            return None
        return float(big["gradient"]) / float(big["norm"])


def final(losses: Sequence[float]) -> float:
    """Mean of the last tenth; infinite if any of it is not finite."""
    tail = losses[-max(1, len(losses) // 10) :]
    if not tail or not all(math.isfinite(one) for one in tail):
        return math.inf
    return statistics.fmean(tail)
