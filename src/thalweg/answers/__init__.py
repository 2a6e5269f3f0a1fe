"""What curvature answers: learning rates, critical points, noise, sharpness, the spectrum."""

from thalweg.answers.critical_point import CriticalPoint, Escape, critical_point
from thalweg.answers.learning_rate import LearningRate, Rate, learning_rate
from thalweg.answers.methods import Method
from thalweg.answers.noise_scale import NoiseScale, noise_scale
from thalweg.answers.sharpness import Sharpness, sharpness
from thalweg.answers.spectrum import Spectrum, spectrum
from thalweg.answers.stepping import Stepped

__all__ = [
    "CriticalPoint",
    "Escape",
    "LearningRate",
    "Method",
    "NoiseScale",
    "Rate",
    "Sharpness",
    "Spectrum",
    "Stepped",
    "critical_point",
    "learning_rate",
    "noise_scale",
    "sharpness",
    "spectrum",
]
