"""Recordings made by hand: a healthy one of 40 steps, and ways to change one thing about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.obstacles.evidence import Evidence
from thalweg.recorder import Recording

STEPS = 40
IN_FULL = (0, 1, 2, 3, 12, 39)
LOSSES = tuple(0.3 + 2 * 0.8**i for i in range(STEPS))
Row = dict[str, Any]


def seen(recording: Recording) -> Evidence:
    return Evidence(recording)


def empty() -> Recording:
    return Recording()


def sample(step: int) -> Row:
    """A step in full of a network of three layers, as a recorder writes it."""
    shapes = {"0": [20, 10], "2": [20, 20], "4": [3, 20]}
    return {
        "optimizer": 0,
        "step": step,
        "flaw": "",
        "passes": 1,
        "loss": LOSSES[step],
        "parameters": [
            {"name": f"{name}.weight", "shape": shape, "dtype": "float32", "norm": 2.0,
             "gradient": 0.2, "update": 0.02, "zeros": 0.0, "unchanged": 0.0, "trained": True}
            for name, shape in shapes.items()
        ],
        "layers": [
            {"kind": "linear", "weights": [f"{name}.weight"], "output": 1.0, "follows": None,
             "entrance": name == "0", "twins": 0.0, "gain": 0.9, "units": shape[0],
             "inputs": shape[1]}
            for name, shape in shapes.items()
        ],
        "activations": [
            {"kind": "relu", "hidden": True, "units": 20, "rms": 1.0, "dead": 0.0, "follows": None}
            for _ in range(2)
        ],
        "operations": ["cross_entropy", "linear", "relu"],
        "ending": ending(),
        "reconstruction": None,
        "probes": {"critical": {"scale": 3.0, "censored": None}, "curvature": point()},
    }  # fmt: skip


def point(kind: str = "no critical point", **more: Any) -> Row:
    """What the curvature of a step shows."""
    return {
        "largest": 2.0, "largest_error": 0.0, "smallest": -0.1, "smallest_error": 0.0,
        "along_gradient": 1.0, "gradient": 1.0, "point": kind, "why": "so it is",
        "gain_condition": 5.0, "slow_gain": 0.0, "unresolved": 0.0, "reach": 0.1, "limit": 2.0,
        "method": "gradient-descent", **more,
    }  # fmt: skip


def noisy(**more: Any) -> Row:
    """What other batches show of a step that is all noise."""
    return {
        "batches": 9, "scale": 20.0, "lower": 6.0, "upper": None, "own_fall": 0.4,
        "others_fall": 0.02, **more,
    }  # fmt: skip


def ending(
    kind: str = "cross_entropy",
    made_by: str = "linear",
    targets: tuple[float, float] = (0.0, 2.0),
    outputs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Row:
    """Where outputs meet targets; the targets go from one number to the other."""
    low, high = targets
    return {
        "kind": kind,
        "made_by": made_by,
        "outputs": {"shape": [32, 3], "dtype": "float32", "min": -1.0, "max": 1.0, "mean": 0.0,
                    "std": 1.0, **(outputs or {})},
        "targets": {"shape": [32], "dtype": "float32", "min": low, "max": high,
                    "mean": (low + high) / 2, "std": (high - low) / 4},
        **more,
    }  # fmt: skip


def healthy(
    losses: Sequence[float] = LOSSES,
    *,
    rate: float = 0.1,
    rates: Sequence[float] = (),
    kind: str = "SGD",
    settings: Mapping[str, Any] | None = None,
    stale: int = 0,
    moments: Mapping[str, Any] | None = None,
    readings: Iterable[Row] = (),
    **summary: Any,
) -> Recording:
    """A run that learns; a loss that is not finite is written as None, as a recorder does."""
    steps: list[Row] = [
        {"optimizer": 0, "step": i, "rate": rates[i] if rates else rate,
         "loss": loss if math.isfinite(loss) else None} | ({"stale": True} if i < stale else {})
        for i, loss in enumerate(losses)
    ]  # fmt: skip
    usual = {"lr": rate, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "maximize": False}
    return Recording(
        steps,
        [sample(step) for step in IN_FULL],
        list(readings),
        dict(moments or of_inputs([0.0] * 10, [1.0] * 10)),
        {
            "steps": [len(losses)],
            "optimizers": [{"kind": kind, "settings": usual | dict(settings or {}), "groups": 1}],
            "untrained": [],
            "unreached": [],
            "modes": {},
            "target_means": [],
            "target_counts": {},
            "agreement": {},
            **summary,
        },
    )


def of_inputs(
    mean: Sequence[float], std: Sequence[float], second: Sequence[float] | None = None
) -> dict[str, Any]:
    """The moments of one entrance; ``second`` holds eigenvalues of the second moment."""
    values = [s * s + m * m for s, m in zip(std, mean, strict=True)] if second is None else second
    return {
        "mean0": np.array(mean),
        "std0": np.array(std),
        "second0": np.diag(np.array(values, dtype=float)),
        "count0": np.array(1000),
    }


def changed(
    recording: Recording, part: str, where: Sequence[int] | None = None, **new: Any
) -> Recording:
    """The recording with these fields in the rows of a part of every sample (at ``where``)."""
    for one in recording.samples:
        rows = one[part] if isinstance(one[part], list) else [one[part]]
        for at in range(len(rows)) if where is None else where:
            rows[at].update(new)
    return recording


def at_sample(recording: Recording, index: int, part: str, **new: Any) -> Recording:
    """The recording with these fields in every row of a part of one sample."""
    for row in recording.samples[index][part]:
        row.update(new)
    return recording


def probed(recording: Recording, name: str, found: Sequence[Any]) -> Recording:
    """The recording with these results of a probe, one a sample, repeated over more samples."""
    recording.samples = [sample(step) for step in range(len(found))]
    for one, value in zip(recording.samples, found, strict=True):
        one["probes"][name] = value
    return recording


def ended(recording: Recording, **how: Any) -> Recording:
    """The recording with another meeting of outputs and targets."""
    for one in recording.samples:
        one["ending"] = ending(**how)
    return recording


def held_out(values: Sequence[float], kind: str = "loss") -> list[Row]:
    """Evaluations spread evenly over the run."""
    every = STEPS // len(values)
    return [
        {"site": "train.py:40", "kind": kind, "training": False, "step": (i + 1) * every,
         "value": value, "count": 1}
        for i, value in enumerate(values)
    ]  # fmt: skip
