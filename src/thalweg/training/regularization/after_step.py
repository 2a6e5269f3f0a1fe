"""What is done to the weights right after each step, beside any `torch.optim.Optimizer`.

    MaxNorm(optimizer, model, 3.0)       # and train as ever

    WeightDecay      w <- keep w                                       Farkaš, lecture 5
    SoftThreshold    w <- sign(w) max(|w| - lr strength, 0)            proximal step of L1
    MaxNorm          w <- w min(1, bound / |w|)       unit by unit     projection onto a ball

Each follows the optimizer by a hook and acts on those weights that the step had a gradient for, so
that frozen ones stay as they are. They act in the order in which they were made; `detach` ends one.
The rules of `thalweg.optim` have the same by wrappers (`l1`, `bound_units`, `decoupled`), with the
step and in the same pass over the memory.

Reference: Daubechies, Defrise & De Mol (2004) for the soft threshold; Srebro & Shraibman (2005) and
Srivastava et al. (2014), section 5.1, for max-norm; Hanson & Pratt (1988) for the decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.optim import Optimizer

from thalweg.optim.wrappers.l1 import soft_threshold
from thalweg.optim.wrappers.units import within
from thalweg.training.regularization.selection import places, weights


class AfterStep:
    """Follows an optimizer and moves weights after its steps; a subclass says where to.

    Args:
        optimizer: after whose steps.
        of: a model, whose weights are meant (no biases, no normalization layers), or the
            parameters themselves.

    Raises:
        ValueError: one of them is not the optimizer's.
    """

    def __init__(self, optimizer: Optimizer, of: nn.Module | Iterable[Tensor]) -> None:
        self.optimizer = optimizer
        self.weights: list[Tensor] = [*(weights(of) if isinstance(of, nn.Module) else of)]
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        strangers = sum(id(w) not in owned for w in self.weights)
        if strangers:
            raise ValueError(
                f"{type(self).__name__}({type(optimizer).__name__}, ...): {strangers} of "
                f"{len(self.weights)} weights are not the optimizer's, so that its steps never "
                "move them. Name the parameters that it was given."
            )
        self._hook = optimizer.register_step_post_hook(lambda *_: self.act())

    def moved(self, w: Tensor, lr: float) -> Tensor:
        """Where a weight goes; `lr` is the learning rate of its group."""
        raise NotImplementedError

    @torch.no_grad()
    def act(self) -> None:
        """Move every weight that has a gradient; called after each step."""
        rates = {
            id(p): group["lr"] for group in self.optimizer.param_groups for p in group["params"]
        }
        for w in self.weights:
            if w.requires_grad and w.grad is not None:
                w.copy_(self.moved(w, rates[id(w)]))

    def detach(self) -> None:
        """Stop following the optimizer."""
        self._hook.remove()


@final
class WeightDecay(AfterStep):
    """w <- keep w, as the course writes weight decay; keep lies a little below 1.

    After a plain gradient step at the rate lr this is, exactly, a step at the rate keep lr on the
    loss with the penalty (1 - keep) / (keep lr) |w|^2 / 2: weight decay leads to L2.

    Raises:
        ValueError: `keep` outside (0, 1].
    """

    def __init__(self, optimizer: Optimizer, of: nn.Module | Iterable[Tensor], keep: float) -> None:
        if not 0 < keep <= 1:
            raise ValueError(
                f"WeightDecay(..., keep={keep}): keep is the share of a weight that is left after "
                "a step. Give a number in (0, 1], such as 0.9999."
            )
        super().__init__(optimizer, of)
        self.keep = keep

    def moved(self, w: Tensor, lr: float) -> Tensor:
        """A little shorter."""
        return self.keep * w


@final
class SoftThreshold(AfterStep):
    """The proximal step of L1: every weight is drawn to zero by lr * strength, and stops there.

    After plain gradient descent this is iterative soft thresholding, whose fixed point minimizes
    loss + strength sum |w|. Under an adaptive method the threshold is the same for all weights.

    Raises:
        ValueError: a negative strength.
    """

    def __init__(
        self, optimizer: Optimizer, of: nn.Module | Iterable[Tensor], strength: float
    ) -> None:
        if strength < 0:
            raise ValueError(f"SoftThreshold(..., strength={strength}): give 0 or more.")
        super().__init__(optimizer, of)
        self.strength = strength

    def moved(self, w: Tensor, lr: float) -> Tensor:
        """Nearer to zero, or zero."""
        shorter: Tensor = soft_threshold(w, lr * self.strength)
        return shorter


@final
class MaxNorm(AfterStep):
    """The incoming weights of every unit stay within a ball of the radius `bound`.

    A unit is an output of a linear layer, an output channel of a convolution (transposed and
    grouped ones too), a gate's unit in a recurrent layer, a row of an embedding.

    Args:
        optimizer: after whose steps.
        model: whose weights are bounded.
        bound: the longest that a unit's weights may be.

    Raises:
        ValueError: a bound that is not positive.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module, bound: float = 3.0) -> None:
        if bound <= 0:
            raise ValueError(f"MaxNorm(..., bound={bound}): give a length above 0.")
        super().__init__(optimizer, model)
        self.bound = bound
        owners = [(place.parameter, place.module) for place in places(model)]
        self.groups = {id(w): m.groups for w, m in owners if isinstance(m, _ConvTransposeNd)}

    def moved(self, w: Tensor, lr: float) -> Tensor:
        """Long units shortened."""
        if id(w) not in self.groups:
            return within(w, self.bound)
        # A transposed convolution keeps its outputs in the second dimension, group by group.
        apart = torch.unflatten(w, 0, (self.groups[id(w)], -1)).transpose(1, 2)
        bounded = within(apart.flatten(0, 1), self.bound)
        return bounded.reshape(apart.shape).transpose(1, 2).flatten(0, 1)
