"""Curves fitted to data, or to values that they take themselves.

The data are those of the paper, in its order.
"""

import torch
from torch import Tensor

from thalweg.landscapes.more_garbow_hillstrom.problem import upto, vector

BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)
BELL = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989)
KOWALIK_Y = (0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246)
KOWALIK_U = (4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)
MEYER = (
    34780,
    28610,
    23650,
    19630,
    16370,
    13720,
    11540,
    9744,
    8261,
    7030,
    6005,
    5147,
    4427,
    3820,
    3307,
    2872,
)
OSBORNE_1 = (
    0.844,
    0.908,
    0.932,
    0.936,
    0.925,
    0.908,
    0.881,
    0.85,
    0.818,
    0.784,
    0.751,
    0.718,
    0.685,
    0.658,
    0.628,
    0.603,
    0.58,
    0.558,
    0.538,
    0.522,
    0.506,
    0.49,
    0.478,
    0.467,
    0.457,
    0.448,
    0.438,
    0.431,
    0.424,
    0.42,
    0.414,
    0.411,
    0.406,
)
OSBORNE_2 = (
    1.366,
    1.191,
    1.112,
    1.013,
    0.991,
    0.885,
    0.831,
    0.847,
    0.786,
    0.725,
    0.746,
    0.679,
    0.608,
    0.655,
    0.616,
    0.606,
    0.602,
    0.626,
    0.651,
    0.724,
    0.649,
    0.649,
    0.694,
    0.644,
    0.624,
    0.661,
    0.612,
    0.558,
    0.533,
    0.495,
    0.5,
    0.423,
    0.395,
    0.375,
    0.372,
    0.391,
    0.396,
    0.405,
    0.428,
    0.429,
    0.523,
    0.562,
    0.607,
    0.653,
    0.672,
    0.708,
    0.633,
    0.668,
    0.645,
    0.632,
    0.591,
    0.559,
    0.597,
    0.625,
    0.739,
    0.71,
    0.729,
    0.72,
    0.636,
    0.581,
    0.428,
    0.292,
    0.162,
    0.098,
    0.054,
)


def bard(x: Tensor) -> Tensor:
    """A rational function fitted to fifteen values."""
    u = upto(15)
    v = 16 - u
    return vector(*BARD) - (x[0] + u / (v * x[1] + torch.minimum(u, v) * x[2]))


def gaussian(x: Tensor) -> Tensor:
    """A bell fitted to fifteen values."""
    t = (8 - upto(15)) / 2
    return x[0] * (-x[1] * (t - x[2]) ** 2 / 2).exp() - vector(*BELL, *reversed(BELL[:-1]))


def gulf(x: Tensor) -> Tensor:
    """A Weibull distribution, fitted to values that it takes."""
    t = upto(99) / 100
    y = 25 + (-50 * t.log()) ** (2 / 3)
    return (-((y - x[1]).abs() ** x[2]) / x[0]).exp() - t


def box(x: Tensor) -> Tensor:
    """The difference of two exponentials, fitted to values that it takes."""
    t = upto(10) / 10
    return (-t * x[0]).exp() - (-t * x[1]).exp() - x[2] * ((-t).exp() - (-10 * t).exp())


def kowalik_osborne(x: Tensor) -> Tensor:
    """A rational function fitted to eleven values."""
    u = vector(*KOWALIK_U)
    return vector(*KOWALIK_Y) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: Tensor) -> Tensor:
    """Four variables at very large residuals."""
    t = upto(20) / 5
    return (x[0] + t * x[1] - t.exp()) ** 2 + (x[2] + x[3] * t.sin() - t.cos()) ** 2


def biggs(x: Tensor) -> Tensor:
    """Three exponentials fitted to values that they take."""
    t = upto(13) / 10
    y = (-t).exp() - 5 * (-10 * t).exp() + 3 * (-4 * t).exp()
    model = x[2] * (-t * x[0]).exp() - x[3] * (-t * x[1]).exp() + x[5] * (-t * x[4]).exp()
    return model - y


def meyer(x: Tensor) -> Tensor:
    """The resistance of a thermistor, over five orders of magnitude."""
    return x[0] * (x[1] / (45 + 5 * upto(16) + x[2])).exp() - vector(*MEYER)


def osborne_one(x: Tensor) -> Tensor:
    """Two exponentials and a constant, fitted to 33 values."""
    t = 10 * (upto(33) - 1)
    return vector(*OSBORNE_1) - (x[0] + x[1] * (-t * x[3]).exp() + x[2] * (-t * x[4]).exp())


def osborne_two(x: Tensor) -> Tensor:
    """An exponential and three bells, fitted to 65 values."""
    t = (upto(65) - 1) / 10
    bells = (x[i + 1] * (-x[i + 5] * (t - x[i + 8]) ** 2).exp() for i in range(3))
    return vector(*OSBORNE_2) - (x[0] * (-t * x[4]).exp() + sum(bells, torch.zeros_like(t)))
