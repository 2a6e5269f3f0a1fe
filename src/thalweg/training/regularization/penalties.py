"""The regularized risk R(w) = E(w) + lambda C(w), with penalties that are added like numbers.

    penalty = l1_penalty(1e-4) + l2_penalty(1e-3)
    loss = criterion(model(x), y) + penalty(model)        # or fit(..., penalty=penalty)

    L1(w) = epsilon sum_i |w_i|          L2(w) = epsilon / 2 |w|^2

A penalty's gradient passes through the optimizer as the loss's does. For L1 that is the subgradient
epsilon sign(w), 0 at 0: weights come near zero and jump across it. What makes them exactly zero is
the proximal step, `SoftThreshold`. The gradient epsilon w of L2 shrinks weights by a factor: under
plain gradient descent this is weight decay; under Adam it is not, because Adam divides it by the
root of its second moment.

Reference: Farkaš, *Neural Networks*, lecture 5, "Regularization"; Goodfellow, Bengio & Courville,
*Deep Learning*, section 7.1; Tibshirani (1996) and Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

import torch
from torch import Tensor, nn

from thalweg.training.regularization.selection import weights

Term = Callable[[nn.Module], Tensor]
Selection = Callable[[nn.Module], Iterable[Tensor]]


@final
class Penalty:
    """A sum of terms lambda C(w), each a function from the model to a 0-d tensor.

    `penalty(model)` is its value, with a graph; `+` and `sum` join several, `2.0 * penalty` scales
    one.

    Raises:
        ValueError: no term.
    """

    def __init__(self, *terms: Term) -> None:
        if not terms:
            raise ValueError("Penalty(): give at least one function from the model to a number.")
        self.terms = terms

    def __call__(self, model: nn.Module) -> Tensor:
        """The value at the weights as they are now."""
        return torch.stack([term(model) for term in self.terms]).sum()

    def __add__(self, other: Penalty) -> Penalty:
        return Penalty(*self.terms, *other.terms)

    def __radd__(self, zero: float) -> Penalty:
        return NotImplemented if zero else self  # what `sum` begins with

    def __mul__(self, factor: float) -> Penalty:
        return Penalty(lambda model: factor * self(model))

    __rmul__ = __mul__


def l1_penalty(strength: float, of: Selection = weights) -> Penalty:
    """epsilon sum_i |w_i|.

    Args:
        strength: epsilon, 0 or more.
        of: from the model to the parameters that are penalized; its weights, without biases and
            normalization layers, unless told otherwise.

    Raises:
        ValueError: a negative strength; or, when called, nothing that is penalized.
    """
    _check("l1_penalty", strength)
    return Penalty(lambda model: strength * _total(w.abs().sum() for w in of(model)))


def l2_penalty(strength: float, of: Selection = weights) -> Penalty:
    """epsilon / 2 |w|^2; arguments and errors are those of `l1_penalty`."""
    _check("l2_penalty", strength)
    return Penalty(lambda model: strength / 2 * _total(w.square().sum() for w in of(model)))


def _total(sizes: Iterable[Tensor]) -> Tensor:
    found = [*sizes]
    if not found:
        raise ValueError("l1_penalty or l2_penalty(..., of=...): `of` gives no parameter.")
    return torch.stack(found).sum()


def _check(name: str, strength: float) -> None:
    if strength < 0:
        raise ValueError(
            f"{name}({strength}): a negative strength rewards large weights. Give 0 or more."
        )
