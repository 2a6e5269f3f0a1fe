"""Remedies as lines of code: a script's source changed as its interventions say."""

from thalweg.edits.edit import Edit, diff, edited
from thalweg.edits.registry import EDITORS

__all__ = ["EDITORS", "Edit", "diff", "edited"]
