"""Algorithms on operators: free functions that return what they found and how well they know it."""

from thalweg.linalg.extremes import Eigenpair, Extremes
from thalweg.linalg.lanczos import lanczos
from thalweg.linalg.negative_curvature import negative_curvature

__all__ = ["Eigenpair", "Extremes", "lanczos", "negative_curvature"]
