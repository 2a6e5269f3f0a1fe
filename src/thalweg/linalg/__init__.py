"""Algorithms on operators: free functions that return what they found and how well they know it."""

from thalweg.linalg.cg import cg
from thalweg.linalg.condition import Condition, condition_number
from thalweg.linalg.cr import cr
from thalweg.linalg.diagonal import Diagonal, diagonal
from thalweg.linalg.estimate import Estimate
from thalweg.linalg.extremes import Eigenpair, Extremes
from thalweg.linalg.frobenius import squared_frobenius_norm
from thalweg.linalg.gain import GainConditioning, gain_conditioning
from thalweg.linalg.inertia import Count, Inertia, inertia
from thalweg.linalg.lanczos import lanczos
from thalweg.linalg.lsmr import lsmr
from thalweg.linalg.minres import minres
from thalweg.linalg.negative_curvature import negative_curvature
from thalweg.linalg.solution import Direction, Solution
from thalweg.linalg.spectral_density import SpectralDensity, spectral_density, trace_of
from thalweg.linalg.trace import trace

__all__ = [
    "Condition",
    "Count",
    "Diagonal",
    "Direction",
    "Eigenpair",
    "Estimate",
    "Extremes",
    "GainConditioning",
    "Inertia",
    "Solution",
    "SpectralDensity",
    "cg",
    "condition_number",
    "cr",
    "diagonal",
    "gain_conditioning",
    "inertia",
    "lanczos",
    "lsmr",
    "minres",
    "negative_curvature",
    "spectral_density",
    "squared_frobenius_norm",
    "trace",
    "trace_of",
]
