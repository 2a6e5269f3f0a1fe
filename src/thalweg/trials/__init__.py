"""Run a user's script, unedited, in child processes, under instruments given by name.

:class:`Runner` runs :class:`Trial` s and returns :class:`Outcome` s; :func:`execute` runs a script
in this very process. Nothing here knows what an instrument records or changes.

Importing this package does not import torch.
"""

from thalweg.trials.overlay import apart
from thalweg.trials.runner import Progress, Runner
from thalweg.trials.script import execute
from thalweg.trials.trial import Ended, Outcome, Trial, TrialEnded, end_now, end_trial

__all__ = [
    "Ended",
    "Outcome",
    "Progress",
    "Runner",
    "Trial",
    "TrialEnded",
    "apart",
    "end_now",
    "end_trial",
    "execute",
]
