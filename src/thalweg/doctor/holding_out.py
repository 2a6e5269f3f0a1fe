"""Held-out data for a script that evaluates nothing: whether, and how much of it.

The first run counts the samples that training meets. Where they come again and again, each with a
loss of its own, a share of them is set aside in every later run, and runs are compared by the loss
of these (:mod:`thalweg.interventions.set_aside`). Elsewhere the training loss stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.doctor.runs import Run
from thalweg.recorder.recording import SET_ASIDE

MEASURE = (SET_ASIDE, "loss")
FEWEST = 20  # samples of which any can be spared
WANTED = 20  # samples to be set aside
LEAST, MOST = 0.1, 0.25  # of all samples
AGAIN = 1.5  # times that a sample must come in the mean
REPEATED, BEYOND_CHANCE = 0.02, 2.0  # rows of a batch that stand in it twice


def share(counts: Mapping[str, Any]) -> float:
    """One sample in ten; of few samples more, up to a quarter, so that twenty are set aside."""
    return min(MOST, max(LEAST, WANTED / int(counts["samples"])))


def refusal(counts: Mapping[str, Any]) -> str:
    """Why no samples of such a run are set aside, in a clause; empty if they can be."""
    if not counts:
        return "the first run was cut off"
    if not counts["passes"]:
        return "no loss was differentiated"
    if counts["unseen"]:
        return "outputs and targets were not seen to meet sample by sample"
    if counts["visits"] < AGAIN * counts["samples"]:
        return "hardly a sample comes twice, so that it is that of samples not yet trained on"
    if counts["samples"] < FEWEST:
        return f"there are only {counts['samples']} different samples"
    chance = BEYOND_CHANCE * counts["expected_repeats"] + REPEATED * counts["visits"]
    if counts["repeats"] > chance or counts["largest"] > 2 * counts["samples"]:
        return "the same samples stand in a batch several times"
    return ""


def flaw(run: Run) -> str:
    """Why what was set aside in this run tells nothing; empty if it does."""
    if run.outcome.ended == "crashed" or not run.recording.set_aside:
        return "a run with samples set aside did not come to its end"
    return str(run.recording.set_aside["why"])


def says(why: str) -> str:
    """What runs are compared by, and why, in a sentence."""
    if not why:
        return (
            "The script evaluates nothing: runs are compared by the loss of samples that were set "
            "aside, the same ones in all of them."
        )
    return f"The script evaluates nothing, and runs are compared by the training loss: {why}."
