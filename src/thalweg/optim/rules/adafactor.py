r"""Adafactor: Adam's second moment from its row and column sums alone.

Idea: a matrix of n rows and k columns needs n + k numbers of state instead of n k. If the second
moment were of rank one, its row and column means would determine it; so take it to be.

Formula:

    r <- b r + (1 - b) mean over columns of g^2           b = 1 - t^beta2_decay
    c <- b c + (1 - b) mean over rows of g^2
    u = g / sqrt(r c / mean(r))                           a vector keeps v <- b v + (1 - b) g^2
    u <- u / max(1, rms(u) / d)
    p <- p - max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u

with rms the root of the mean square and (eps1, eps2) = eps. Tensors of more than two dimensions are
factored over the last two.

Why: of all nonnegative matrices of rank one, r c / mean(r) is nearest to g^2 in generalized
Kullback-Leibler divergence. Steps in proportion to the parameter's own size need no tuned learning
rate; the clipping at d stands in for the first moment when v is out of date; b that grows with t
needs no bias correction.

When: memory is short. The state is next to nothing beside Adam's two copies of the model.

Convention: PyTorch's, to rounding (its sums of squares are squares of norms, which take a hundred
times as long down the columns of a large matrix): eps1 holds the divisors above it (None: the
type's machine epsilon), lr bounds the relative step, and weight_decay shrinks by lr * weight_decay,
after rms(p) is taken. `convention="paper"` is Shazeer & Stern's algorithms 4 and 5, which add eps1
to g^2 and hold nothing else (give eps=(1e-30, 1e-3), lr=1e-2). With `scale_parameter=False` a step
is not in proportion to rms(p), with `relative_step=False` lr is not bounded by 1 / sqrt(t); both
names, and `beta1`, a running average of u (section 7 of the paper: half of the saving is then given
back), are fairseq's and Hugging Face's.

Sharding: rows and columns of the whole tensor are summed; the engine gathers sharded parameters
before the step, and keeps the sums whole.

Reference: Shazeer & Stern (2018), arXiv 1804.04235, algorithms 4-6.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, add, finfo, lerp, rsqrt, zeros_like
from torch.linalg import vector_norm

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot

define(
    "beta2_decay",
    "the power of the step count by which the memory of squares grows",
    "a number <= 0",
    lambda x: bool(x <= 0),
    "beta2_decay should be <= 0 but is",
)
define(
    "d",
    "the root mean square at which a step is clipped",
    "a number >= 1",
    lambda x: bool(x >= 1),
    "Clipping threshold d should be >= 1 but is",
)
define("scale_parameter", "step in proportion to the parameter's size", switch=True)
define("relative_step", "bound the learning rate by 1 / sqrt(t)", switch=True)
define(
    "beta1",
    "how much of the last step is kept",
    "in [0, 1), or None",
    lambda x: bool(0 <= x < 1),
    optional=True,
)

TERMS = [
    replace(GLOSSARY["lr"], complaint="Learning rate should be >= 0 but is"),
    replace(GLOSSARY["weight_decay"], complaint="weight_decay should be >= 0 but is"),
    replace(
        GLOSSARY["eps"],
        domain="a pair of numbers >= 0, of which the first may be None",
        complaint="epsilon{place} should be >= 0 but is",
        length=2,
        optional=True,
    ),
    GLOSSARY["convention"].among("torch", "paper"),
]


def _second_is_a_number(hyper: Mapping[str, Any]) -> None:
    if hyper["eps"][1] is None:
        raise ValueError(
            f"epsilon2 should be >= 0 but is: None. In eps={hyper['eps']}, only the first may be "
            "None, which takes the machine epsilon. Set eps=(None, 1e-3)."
        )


def _rows(p: Tensor) -> Tensor | None:
    return p.new_zeros((*p.shape[:-1], 1)) if p.dim() > 1 else None


def _columns(p: Tensor) -> Tensor | None:
    return p.new_zeros((*p.shape[:-2], 1, p.shape[-1])) if p.dim() > 1 else None


def _whole(p: Tensor) -> Tensor | None:
    return zeros_like(p) if p.dim() < 2 else None


def _rms(x: Tensor, unit: float = 1.0) -> float:
    return float(vector_norm(x).item()) / float(max(x.numel(), 1) ** 0.5 * unit)


def _mean(x: Tensor, dim: int) -> Tensor:
    return x.sum(dim, keepdim=True) / max(x.shape[dim], 1)


@rule("odd", "loss-scale-invariant", check=_second_is_a_number, terms=TERMS)
def adafactor(  # type: ignore[no-untyped-def]
    p, g, r=slot("row_var", _rows), c=slot("col_var", _columns), v=slot("variance", _whole),
    m=slot("exp_avg", when="beta1"),
    *, t, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0,
    convention="torch", scale_parameter=True, relative_step=True, beta1=None,
):  # fmt: skip
    """One step of Adafactor."""
    eps1 = finfo(p.dtype).eps if eps[0] is None else eps[0]
    added, floor = (eps1, 0.0) if convention == "paper" else (0.0, eps1)
    rate = min(lr, 1 / t**0.5) if relative_step else lr
    rate = max(eps[1], _rms(p)) * rate if scale_parameter else rate
    p = p * (1 - lr * weight_decay) if weight_decay else p
    share = t**beta2_decay
    square = g * g + added if added else g * g
    if r is None:
        v = square = lerp(v, square, share)
    else:
        r = lerp(r, _mean(square, -1), share)
        c = lerp(c, _mean(square, -2), share)
        square = r * c / r.mean(dim=-2, keepdim=True).clamp(min=floor)
    u = rsqrt(square.clamp(min=floor * floor)) * g
    clip = max(1.0, _rms(u, d))
    if not beta1:
        return add(p, u, alpha=-rate / clip), r, c, v, None
    m = lerp(m, u * (rate / clip), 1 - beta1)
    return p - m, r, c, v, m
