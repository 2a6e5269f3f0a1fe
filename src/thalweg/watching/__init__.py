"""Watching: a whole run seen cheaply, and what broke in it or is suspected, said at its end.

    with thalweg.watch() as watching:
        train()
    print(watching.data["reason"])

Nothing is proved here: what is suspected is proved by ``thalweg diagnose``.
"""

from thalweg.operators.saved_random_state import restore_random
from thalweg.watching.lookout import Lookout
from thalweg.watching.trouble import TrainingBroke, Trouble
from thalweg.watching.watch import Watching
from thalweg.watching.writing import Writer

__all__ = ["Lookout", "TrainingBroke", "Trouble", "Watching", "Writer", "restore_random"]
