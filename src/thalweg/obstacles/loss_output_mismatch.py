"""Loss, output and target do not fit together.

What it is
    The loss expects something else than it is given: probabilities where it applies softmax itself
    (the gradient is flattened and the loss cannot fall below a floor), raw outputs where it expects
    log-probabilities (unbounded below), rates where it expects their logarithms, a column of
    outputs against a row of targets (each output is pulled to every target, so all go to their
    mean), several labels that hold at once where a softmax lets them share one certainty.

How it is measured
    The tape shows the call that made the outputs, the loss function, and the shapes that met:
    softmax before ``cross_entropy``, a sigmoid before ``binary_cross_entropy_with_logits``, rows
    given to ``nll_loss`` whose exponentials do not sum to one, a softplus or exponential before a
    Poisson loss that takes logarithms, negative numbers given to one that takes rates, shapes that
    broadcast to more elements than either has, rows of targets from zero to one for
    ``cross_entropy`` that sum to more than one (those of soft labels sum to one, that of a label
    left out to zero). Exact.

When not to trust it
    Where a difference by hand broadcasts on purpose (pairwise distances), or labels are to be
    ranked against each other by one softmax, only the trial tells.

How it is proved
    Computing the one reading that outputs and targets allow removes the harm. A loss of another
    scale is not compared; the script's own evaluation is, or the share of the loss that is left.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.2.2.
"""

from __future__ import annotations

from typing import Any

from thalweg.interventions import LossWiring
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "loss-output-mismatch"

TWICE = {
    "cross_entropy": ("softmax", "log-softmax"),
    "binary_cross_entropy_with_logits": ("sigmoid", "the sigmoid"),
}
RATES = frozenset({"softplus", "exp", "relu", "square"})
AT_MOST = 1.01  # what a row of soft labels sums to, rounded


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the recorded loss allows a better reading of its outputs and targets."""
    end = seen.first.get("ending")
    if not end:
        return None
    found = _reading(end) or _of_labels(seen)
    if found is None:
        return None
    reading, summary = found
    targets = (end["targets"] or {}).get("shape", [])
    shapes = f"{tuple(end['outputs']['shape'])} and {tuple(targets)}"
    evidence = {
        "loss": shown(end["kind"], f"its outputs were made by {end['made_by'] or 'another call'}"),
        "shapes": shown(shapes, "of the outputs and of the targets"),
    }
    return Suspicion(CODE, 0.97, summary, evidence, [(LossWiring(reading),)], fits=False)


def _reading(end: dict[str, Any]) -> tuple[str, str] | None:
    kind, made_by, outputs = end["kind"], end["made_by"], end["outputs"]
    if kind in TWICE and made_by == TWICE[kind][0]:
        return "logits", f"{made_by} is applied twice: {kind} applies {TWICE[kind][1]} itself."
    is_log = outputs.get("rows_are_log_probabilities", True)
    if kind == "nll_loss" and not is_log:
        return (
            "log-probabilities",
            "nll_loss expects log-probabilities and is given something else.",
        )
    if kind == "poisson_nll_loss" and end.get("log_input") and made_by in RATES:
        return "rates", f"The Poisson loss takes for logarithms of rates what {made_by} has made."
    if kind == "poisson_nll_loss" and end.get("log_input") is False and (outputs["min"] or 0) < 0:
        return "log-rates", "The Poisson loss takes for rates what is negative."
    if end.get("broadcast"):
        shapes = f"{tuple(outputs['shape'])} against {tuple(end['targets']['shape'])}"
        return "same-shape", f"Outputs and targets broadcast ({shapes}): each meets every other."
    return None


def _of_labels(seen: Evidence) -> tuple[str, str] | None:
    """Several labels at once, in whichever of the recorded steps."""
    ends = [one["ending"] for one in seen.samples if one.get("ending")]
    sums = [(one["targets"] or {}).get("largest_row_sum", 0.0) for one in ends]
    if max(sums, default=0.0) <= AT_MOST:
        return None
    return "each-label", (
        f"Targets for cross_entropy sum to as much as {told(max(sums))} in a row: several labels "
        f"hold at once, and a softmax lets them share one certainty."
    )
