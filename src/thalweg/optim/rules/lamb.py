r"""LAMB: Adam whose step is as long as the layer's weights.

Idea: in large batches one learning rate does not serve all layers: a step that is small beside one
layer's weights is large beside another's. Take Adam's direction for each layer, and give it the
length of the layer's weights.

Formula:

    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
    r = m_hat / (sqrt(v_hat) + eps)        m_hat = m / (1 - b1^t),  v_hat = v / (1 - b2^t)
    u = r + weight_decay p
    p <- p - lr (|p| / |u|) u

with (b1, b2) = betas, norms over the whole tensor, and |p| / |u| taken as 1 where either is zero.

Why: each step changes every layer by the fraction lr of itself. Under layer-wise smoothness the
rate of convergence depends on the average of the layers' constants, not on the worst.

When: batches of thousands to tens of thousands (BERT in 76 minutes). In small batches AdamW does as
well.

Convention: the paper's third version, whose algorithm 2 has the bias correction; jettify's
torch-optimizer follows an earlier one (`bias_correction=False`) and holds |p| at most 10
(`max_weight_norm=10`, the paper's upper bound of phi). NVIDIA's apex gives |p| / |u| only to what
decays (`always_adapt=False`: 1 where weight_decay is zero), and first clips all gradients together
to a norm of 1: wrap the rule in `clip_by_global_norm`. timm also holds the ratio at most 1
(`max_trust=1`).

Sharding: both norms are of the whole tensor; the engine gathers sharded parameters before the step.

Reference: You et al. (2020), arXiv 1904.00962 (v3 and later), algorithm 2.
"""

from torch import addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import define
from thalweg.optim.matrices import trust
from thalweg.optim.rule import rule, slot

define(
    "max_weight_norm",
    "the longest that a layer's weights count",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)
define(
    "max_trust",
    "the largest ratio of the weights' length to the step's",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)
define(
    "always_adapt",
    "fit the step's length to the weights' even where nothing decays",
    switch=True,
)


@rule("odd", "loss-scale-invariant")
def lamb(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_sq"),
    *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, bias_correction=True,
    always_adapt=True, max_weight_norm=None, max_trust=None,
):  # fmt: skip
    """One step of LAMB."""
    b1, b2 = betas
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    v = addcmul(b2 * v, g, g, value=1 - b2)  # b2 v + (1 - b2) g^2
    c1, c2 = (1 - b1**t, 1 - b2**t) if bias_correction else (1.0, 1.0)
    u = (m / c1) / (sqrt(v / c2) + eps) + weight_decay * p
    if not (weight_decay or always_adapt):
        return p - lr * u, m, v
    return p - lr * trust(p, u, max_weight_norm, max_trust) * u, m, v
