r"""NAdam: Adam with Nesterov's look-ahead in place of plain momentum.

Idea: Adam steps along the average up to now. As in the shifted form of Nesterov's momentum, step
along what the average will be after the next decay: use the new gradient once more.

Formula:

    mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)                M_t = mu_1 mu_2 ... mu_t
    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
    p <- p - lr [ (1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m ] / (sqrt(v_hat) + eps)
    v_hat = v / (1 - b2^t)

Why: the correction by the newest gradient comes one step earlier than Adam's. The schedule starts
the momentum at about half of b1 and lets it grow, as averages that have seen little should not
weigh much.

When: wherever Adam is used with b1 near 0.9 and the loss is smooth; it is seldom much better.

Convention: `convention="torch"` is as above, PyTorch's operation by operation. "paper" is Dozat's
algorithm 2: the average itself decays by the schedule, m <- mu_t m + (1 - mu_t) g, and v_hat is
b2 v / (1 - b2^t). "optax" has no schedule, mu_t = b1 for every t. M_t is kept in the state, so that
a run may be interrupted and momentum_decay changed.

Reference: Dozat (2016), "Incorporating Nesterov momentum into Adam", algorithm 2.
"""

from typing import Any

from torch import addcdiv, addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import number, scalar

define(
    "momentum_decay",
    "how fast the momentum's schedule reaches its end",
    "a number >= 0",
    lambda x: bool(x >= 0),
)


@rule("pointwise", "odd", "loss-scale-invariant",
      terms=[GLOSSARY["convention"].among("torch", "paper", "optax")])  # fmt: skip
def nadam(  # type: ignore[no-untyped-def]
    p, g, product=slot("mu_product", lambda p: scalar(1), scalar=True),
    m=slot("exp_avg"), v=slot("exp_avg_sq"),
    *, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, convention="torch",
):  # fmt: skip
    """One step of NAdam."""
    b1, b2 = betas
    mu, mu_next = (_mu(b1, step, momentum_decay, convention) for step in (t, t + 1))
    product = product * mu  # M_t
    m = lerp(m, g, 1 - (mu if convention == "paper" else b1))
    v = addcmul(b2 * v, g, g, value=1 - b2)  # b2 v + (1 - b2) g^2
    v_hat = v / ((1 - b2**t) / b2 if convention == "paper" else 1 - b2**t)
    root = sqrt(v_hat) + eps
    done = number(product)
    p = addcdiv(p, g, root, value=-lr * (1 - mu) / (1 - done))
    p = addcdiv(p, m, root, value=-lr * mu_next / (1 - done * mu_next))
    return p, product, m, v


def _mu(b1: Any, t: Any, decay: Any, convention: str) -> Any:
    """The momentum of step t."""
    return b1 if convention == "optax" else b1 * (1.0 - 0.5 * (0.96 ** (t * decay)))
