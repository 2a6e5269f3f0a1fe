r"""ASGD: stochastic gradient descent, with the average of its iterates beside it.

Idea: near a minimum SGD wanders around it. The mean of the places where it has been is nearer than
any of them, and the learning rate may stay large.

Formula:

    eta = lr / (1 + lambd lr t)^alpha
    p <- p - eta (g + lambd p)
    ax <- ax + mu_t (p - ax)               mu_t = 1 / max(1, t - t0): the mean of p after t0

Why: with slowly falling or constant rates the average reaches the best possible asymptotic variance
without knowing the Hessian.

When: convex or nearly convex losses; the last phase of training. Read the result at the average
(`with averaged(optimizer):`), which is `ax` in the state.

Convention: `convention="torch"` is PyTorch's, operation by operation, with what its users have
complained of: eta and mu are computed after the step and used in the next one, so that a change of
lr acts one step late; the average begins at t0 = 1e6, so that before it `ax` is the parameter
itself; and from t0 = 0 it leaves the first iterate out. "polyak" computes both for the step at hand
(t - 1 in eta, so that the first step is made with lr): a change of lr acts at once and
`ax` is the mean of all iterates after t0. The class `AveragedSGD` is that with t0 = 0 and
lambd = 0. lambd is also the strength of a weight decay.

Reference: Polyak & Juditsky (1992); Bottou (2010) and Xu (2011), arXiv 1107.2490, eq. 25 for eta.
"""

from dataclasses import replace
from typing import Any

from torch import add

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import number, scalar

define("lambd", "how strongly parameters decay and how fast the rate falls", ">= 0",
       lambda x: bool(x >= 0))  # fmt: skip
define("t0", "the step after which averaging begins")


@rule("pointwise", "odd", "rotation-equivariant",
      terms=[GLOSSARY["convention"].among("torch", "polyak")])  # fmt: skip
def asgd(  # type: ignore[no-untyped-def]
    p, g, eta=slot("eta", lambda p, *, lr: scalar(lr), scalar=True),
    mu=slot("mu", lambda p: scalar(1), scalar=True), ax=slot("ax"),
    *, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, convention="torch",
):  # fmt: skip
    """One step of SGD and of the average."""
    at_once = convention == "polyak"
    if at_once:
        eta, mu = _rates(t - 1, t, lr, lambd, alpha, t0)
    rate, share = number(eta), number(mu)
    p = add(p * (1 - lambd * rate), g, alpha=-rate)  # p - eta (g + lambd p)
    ax = p if share == 1 else ax + (p - ax) * share
    if not at_once:
        eta, mu = _rates(t, t, lr, lambd, alpha, t0)
    return p, eta, mu, ax


def _rates(steps: Any, t: Any, lr: Any, lambd: Any, alpha: Any, t0: Any) -> tuple[Any, Any]:
    """The learning rate after so many steps, and an iterate's share of the average."""
    return lr / ((1 + lambd * lr * steps) ** alpha), 1 / max(1, t - t0)


asgd = replace(asgd, average=lambda p, state, hyper: state["ax"])
