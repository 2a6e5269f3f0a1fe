"""The matrix arithmetic of the rules for matrices: pure functions, one idea per file."""

from thalweg.optim.matrices.bases import eigenbasis, refreshed
from thalweg.optim.matrices.inverse_root import inverse_root
from thalweg.optim.matrices.newton_schulz import newton_schulz
from thalweg.optim.matrices.shapes import as_matrix, in_single
from thalweg.optim.matrices.sides import between, left_zeros, right_zeros, second_moments
from thalweg.optim.matrices.trust import trust

__all__ = [
    "as_matrix",
    "between",
    "eigenbasis",
    "in_single",
    "inverse_root",
    "left_zeros",
    "newton_schulz",
    "refreshed",
    "right_zeros",
    "second_moments",
    "trust",
]
