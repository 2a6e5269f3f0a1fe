"""A script, unedited, asked while it trains: its curvature at chosen steps, its network pruned."""

from thalweg.survey.sparsity import NothingToPrune, sparsity
from thalweg.survey.survey import ScriptFailed, Survey, survey

__all__ = ["NothingToPrune", "ScriptFailed", "Survey", "sparsity", "survey"]
