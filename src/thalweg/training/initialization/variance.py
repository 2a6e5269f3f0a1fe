r"""The variance of weights that keeps the variance of signals: LeCun, Glorot, He.

    lecun     1 / fan_in                       units stay in their linear range
    glorot    2 gain^2 / (fan_in + fan_out)    signals going forward and gradients going back
    he        gain^2 / fan_in                  what the nonlinearity took is given back

Y. LeCun, L. Bottou, G. B. Orr & K.-R. Müller, *Efficient BackProp* (1998), equation 16; X. Glorot &
Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks* (AISTATS
2010), equation 12; K. He et al., *Delving deep into rectifiers* (ICCV 2015), equation 10.
"""

from __future__ import annotations

from typing import Final

VARIANCES: Final = ("lecun", "glorot", "he")


def variance(kind: str, fan_in: float, fan_out: float, squared_gain: float = 1.0) -> float:
    """The variance of one weight; `squared_gain` is of no use to "lecun"."""
    if kind == "glorot":
        return 2.0 * squared_gain / (fan_in + fan_out)
    return (squared_gain if kind == "he" else 1.0) / fan_in
