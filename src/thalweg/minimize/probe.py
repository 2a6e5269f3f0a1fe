r"""Whether the loss falls along a line on which its slope says nothing.

At a critical point the first derivative is zero along every line. If the second is negative, the
loss falls to either side; if it is zero, the third may make it fall to one side, or the fourth to
both. So both sides are looked at, from far to near, and nothing is concluded from derivatives.
"""

from thalweg.minimize.contract import Found, Proposal
from thalweg.minimize.line import Ray

# Steps to try: powers of a quarter of the first, down to a few hundred-thousandths.
LENGTHS = tuple(0.25**k for k in range(8))

# Of the decrease that the curvature promises, so much must come.
SHARE = 0.25


def lower_along(
    ray: Ray, proposal: Proposal, more_than: float = 0.0, lengths: tuple[float, ...] = LENGTHS
) -> Found:
    """The first point along the proposal, to either side, that is lower than its start.

    Args:
        ray: the line of the proposal.
        proposal: its slope may be zero; its curvature, where it is negative, says how much lower.
        more_than: the decrease must exceed this.
        lengths: in units of the proposal's, tried in this order.

    Returns:
        "satisfied" with alpha of either sign, or "rounding" with alpha 0.
    """
    bend = min(proposal.curvature or 0.0, 0.0)
    start = ray.start.value
    for share in lengths:
        for alpha in (share * proposal.length, -share * proposal.length):
            value, slope = ray(alpha)
            if ray.exhausted:
                return Found(0.0, start, proposal.slope, ray.evaluations, "budget")
            enough = max(more_than, -SHARE * bend * alpha**2 / 2)
            if start - value > enough and ray.at(alpha).finite:
                return Found(alpha, value, slope, ray.evaluations, "satisfied")
    return Found(0.0, start, proposal.slope, ray.evaluations, "rounding")
