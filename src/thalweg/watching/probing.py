"""Probes that are made where the pace affords them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from thalweg.recorder import Step
from thalweg.recorder.samples import Probe
from thalweg.watching.pace import PROBING, Pace


class Affordable:
    """A probe that is made where the pace affords it, whatever number the step has."""

    def __init__(self, probe: Probe, pace: Pace) -> None:
        self._probe, self._pace = probe, pace
        self._cost = 0.0
        self.__name__ = getattr(probe, "__name__", type(probe).__name__)

    def __call__(self, step: Step) -> Mapping[str, Any]:
        """What the probe finds; nothing if it would cost too much."""
        # Of complex parameters the probes ask nothing that they could answer.
        real = not any(one.is_complex() for one in step.before)
        if not (real and self._pace.affords(PROBING, self._cost)):
            return {}
        begun = self._pace.now()
        try:
            # A probe's own calendar is that of a diagnosis; here the pace decides.
            return self._probe(replace(step, number=0))
        finally:
            self._cost = self._pace.now() - begun
            self._pace.spend(PROBING, self._cost)
