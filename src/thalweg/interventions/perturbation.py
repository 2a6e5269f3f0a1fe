"""A perturbation: one small random step, to leave a place that gradients do not lead out of.

What it changes: right after the backward pass of update number ``step`` every trained parameter
gets normal noise of deviation ``scale`` times its usual size, the larger of its own root mean
square and of 1 / sqrt(fan in), which is what a variance-preserving initialization would give it. A
saddle whose parameters are all but zero is left as well as one whose parameters are large. The
noise is from a random stream of our own. With ``alike`` it reaches only parameters whose rows are
one row repeated and have just received one gradient: what nothing but noise can tell apart.

Jin et al., How to escape saddle points efficiently (2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.leaves import leaves_of, trainable
from thalweg.recorder.session import Session
from thalweg.recorder.statistics import rows_are_alike


@dataclass
class Perturbation(Intervention):
    """Add noise of relative size ``scale`` at update number ``step``, from 0.

    Attributes:
        alike: Only to parameters whose rows are alike, in their values and their gradients.
    """

    kind: ClassVar[str] = "perturbation"
    scale: float = 0.3
    step: int = 0
    alike: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InterventionError(f"perturbation: scale={self.scale}: give a positive number")
        if self.step < 0:
            raise InterventionError(f"perturbation: step={self.step}: give 0 or more")
        self._leaves: list[torch.Tensor] = []
        self._moved: set[int] = set()

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        data = {"kind": self.kind, "scale": self.scale, "step": self.step}
        return data | ({"alike": True} if self.alike else {})

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session
        self._random = torch.Generator().manual_seed(20_262)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Note which parameters the loss depends on; the graph is gone afterwards."""
        if self._session.step == self.step:
            self._leaves = trainable(leaves_of(loss), self._session.optimizers)

    @torch.no_grad()
    def after_backward(self, loss: torch.Tensor) -> None:
        """Move them, each once."""
        new = [one for one in self._leaves if id(one) not in self._moved]
        new = [one for one in new if not self.alike or rows_are_alike(one, one.grad)]
        for one in new:
            noise = torch.randn(one.shape, generator=self._random, dtype=torch.float64)
            one.add_((noise * self.scale * usual_size(one)).to(one.device, one.dtype))
        self._moved |= {id(one) for one in new}
        self._leaves = []

    def name(self) -> str:
        """A few words for a table."""
        if self.alike:
            return f"rows told apart by {self.scale:g}"
        return f"perturbation of {self.scale:g} at step {self.step}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        when = "before training" if not self.step else f"after {self.step} steps"
        if self.alike:
            return (
                "Start the rows of a parameter apart: random values, or data, instead of one row "
                f"repeated (a random {self.scale:g} of their usual size {when} is enough)."
            )
        return f"Move the parameters off by a random {self.scale:g} of their usual size {when}."

    def edit(self) -> str:
        """A line of code."""
        if self.alike:
            return f"nn.Parameter(rows + {self.scale:g} * torch.randn_like(rows))"
        return f"p.data += {self.scale:g} * torch.randn_like(p) / p[0].numel() ** 0.5"


def usual_size(parameter: torch.Tensor) -> float:
    """Its root mean square, at least 1 / sqrt(fan in)."""
    if not parameter.numel():
        return 0.0
    fan_in = parameter.numel() / (parameter.shape[0] if parameter.dim() >= 2 else 1)
    own = float(parameter.detach().abs().double().square().mean().sqrt())
    return max(own, 1 / math.sqrt(max(fan_in, 1.0)))
