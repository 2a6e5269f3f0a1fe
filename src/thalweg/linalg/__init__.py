"""Algorithms on operators: free functions that return what they found and how well they know it."""

from thalweg.linalg.extremes import Eigenpair, Extremes
from thalweg.linalg.lanczos import lanczos

__all__ = ["Eigenpair", "Extremes", "lanczos"]
