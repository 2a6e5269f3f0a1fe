"""Pruning: which weights can go, told by the curvature of the loss."""

from thalweg.pruning.curve import Point, curve
from thalweg.pruning.prune import METHODS, prune
from thalweg.pruning.pruned import Pruned
from thalweg.pruning.schedule import cubic

__all__ = ["METHODS", "Point", "Pruned", "cubic", "curve", "prune"]
