"""Initialization: weights whose variance keeps that of signals and gradients through a network."""

from thalweg.training.initialization.fixup import Fixup
from thalweg.training.initialization.gain import squared_gain
from thalweg.training.initialization.initialize import initialize
from thalweg.training.initialization.lsuv import LSUV

__all__ = ["LSUV", "Fixup", "initialize", "squared_gain"]
