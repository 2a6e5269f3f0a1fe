"""What curvature answers: learning rates, critical points, noise, sharpness, the spectrum."""

from thalweg.answers.learning_rate import LearningRate, Rate, learning_rate
from thalweg.answers.methods import Method
from thalweg.answers.stepping import Stepped

__all__ = ["LearningRate", "Method", "Rate", "Stepped", "learning_rate"]
