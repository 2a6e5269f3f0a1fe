"""Normalization: of the inputs, fitted on the training set, and of what hidden layers give."""

from thalweg.training.normalization.axes import normalize
from thalweg.training.normalization.inputs import InputNormalization
from thalweg.training.normalization.insertion import insert_normalization

__all__ = ["InputNormalization", "insert_normalization", "normalize"]
