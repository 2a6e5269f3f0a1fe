r"""Muon: momentum, orthogonalized.

Idea: for a weight matrix, the step of steepest descent under the spectral norm keeps the gradient's
singular vectors and makes all its singular values equal. Directions that the gradient hardly sees
move as far as those that dominate it.

Formula:

    m <- mu m + (1 - mu) g                  mu = momentum
    x = (1 - mu) g + mu m                   with Nesterov's look-ahead; without it x = m
    p <- p - lr r NS(x)                     NS(U S V^T) = U f(...f(S / |x|)) V^T

f(s) = a s + b s^3 + c s^5 with (a, b, c) = ns_coefficients, applied ns_steps times, drives singular
values towards 1 (the standard coefficients bring them into 0.7 .. 1.2, and quickly). For a matrix
of n rows and k columns r = sqrt(max(1, n / k)), or 0.2 sqrt(max(n, k)) with
`adjust_lr_fn="match_rms_adamw"`.

Why: the trace of g^T d is smallest, over all steps d of spectral norm 1, at d = -U V^T; and a layer
changes its output by at most the spectral norm of what its weights change by. The gradient's scale
drops out.

When: the hidden matrices of networks, transformers above all, where it reaches a loss in fewer
steps than AdamW. Not for embeddings, the last layer, norms and biases: give those to Adam, by
groups or by `for_matrices(muon, otherwise=adam)`, which is the class `MuonAdamW`.

Convention: PyTorch's, operation by operation: a running average instead of a sum (the same but for
the scale, which orthogonalization drops), bfloat16 inside (`ns_precision="bfloat16"`; "full" works
in float64 for float64 parameters and in float32 otherwise), the norm held above eps instead of eps
added to it, decoupled weight decay. `adjust_lr_fn` "original" (or None) is Jordan's factor r,
"match_rms_adamw" Moonshot's, which makes the steps as long as AdamW's, so that one lr serves both.
For bfloat16 parameters without Nesterov's look-ahead, PyTorch (2.13) normalizes the momentum buffer
itself, in place; here it stays what the formula says.
The class takes matrices only, as PyTorch's; with `flatten`, tensors of more dimensions too, as the
matrix of their first against all others (Jordan's for convolutions). The rule on its own takes a
vector as a matrix of one column.

Sharding: needs the whole matrix; a part of it has other singular vectors. The engine gathers
sharded parameters before the step. All processes then compute the same.

Reference: Jordan et al. (2024), kellerjordan.github.io/posts/muon; Liu et al. (2025), arXiv
2502.16982, eq. 4; Bernstein & Newhouse (2024), arXiv 2409.20325.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, add, lerp

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.matrices import as_matrix, in_single, newton_schulz
from thalweg.optim.rule import rule, slot

define(
    "ns_coefficients",
    "the polynomial a s + b s^3 + c s^5 of the Newton-Schulz iteration",
    "three numbers",
    length=3,
)
define(
    "ns_steps",
    "how many Newton-Schulz iterations are done",
    "a whole number in 0 .. 99",
    lambda x: bool(0 <= x < 100 and x == int(x)),
)
define("ns_precision", "what Newton-Schulz computes in", choices=("bfloat16", "full"))
define(
    "adjust_lr_fn",
    "how the learning rate follows the matrix's shape",
    complaint="Adjust learning rate function {value} is not supported",
    choices=("original", "match_rms_adamw"),
    optional=True,
)
define(
    "flatten",
    "take tensors of more than two dimensions as matrices of their first against all others",
    switch=True,
)

TERMS = [
    replace(GLOSSARY["lr"], complaint="Learning rate should be >= 0 but is"),
    replace(GLOSSARY["momentum"], complaint="momentum should be >= 0 but is"),
    replace(GLOSSARY["weight_decay"], complaint="weight decay should be >= 0 but is"),
]


def _matrices_only(p: Tensor, hyper: Mapping[str, Any]) -> None:
    if p.dim() < 2 or (p.dim() > 2 and not hyper["flatten"]):
        raise ValueError(
            f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}. "
            "Take MuonAdamW, which gives others to AdamW; for convolutions set flatten=True."
        )


def _ratio(rows: int, columns: int, adjust_lr_fn: str | None) -> float:
    if adjust_lr_fn == "match_rms_adamw":
        return float(0.2 * max(rows, columns) ** 0.5)
    return float(max(1, rows / max(columns, 1)) ** 0.5)


@rule("odd", "loss-scale-invariant", "orthogonally-equivariant", terms=TERMS, admit=_matrices_only)
def muon(  # type: ignore[no-untyped-def]
    p, g, m=slot("momentum_buffer"),
    *, lr=1e-3, momentum=0.95, nesterov=True, ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7,
    ns_steps=5, adjust_lr_fn=None, ns_precision="bfloat16", flatten=False,
):  # fmt: skip
    """One step of Muon."""
    m = lerp(m, g, 1 - momentum)  # mu m + (1 - mu) g
    x = as_matrix(lerp(g, m, momentum) if nesterov else m)
    rate = lr * _ratio(x.shape[0], x.shape[1], adjust_lr_fn)
    x = x.bfloat16() if ns_precision == "bfloat16" else in_single(x)
    x = newton_schulz(x, ns_coefficients, ns_steps, eps)
    return add(p, x.reshape(p.shape), alpha=-rate), m
