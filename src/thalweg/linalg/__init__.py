"""Algorithms on operators: free functions that return what they found and how well they know it."""

from thalweg.linalg.cg import cg
from thalweg.linalg.cr import cr
from thalweg.linalg.extremes import Eigenpair, Extremes
from thalweg.linalg.inertia import Count, Inertia, inertia
from thalweg.linalg.lanczos import lanczos
from thalweg.linalg.lsmr import lsmr
from thalweg.linalg.minres import minres
from thalweg.linalg.negative_curvature import negative_curvature
from thalweg.linalg.solution import Direction, Solution

__all__ = [
    "Count",
    "Direction",
    "Eigenpair",
    "Extremes",
    "Inertia",
    "Solution",
    "cg",
    "cr",
    "inertia",
    "lanczos",
    "lsmr",
    "minres",
    "negative_curvature",
]
