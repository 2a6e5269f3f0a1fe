r"""How exactly to solve for a Newton step: the forcing sequence.

    |H d + g| <= eta |g|,     eta = 0.9 (|g| / |g before|)^phi,   phi = (1 + sqrt 5) / 2

Far from a minimum the quadratic model is not worth an exact solution; near it eta falls as fast as
the gradient does, and the convergence is of order phi. An eta that was large is not let fall at
once (the safeguard), and none is above 0.9.

S. Eisenstat & H. Walker, *SIAM J. Sci. Comput.* 17 (1996), choice 2. It knows no unit: a loss times
1e8 is solved for as exactly.
"""

import math

# gamma, the exponent, and the eta before the first step of the paper's section 6.
SHARE = 0.9
ORDER = (1 + math.sqrt(5)) / 2
FIRST = 0.5
# The safeguard holds while the eta before, so raised, is above this.
LARGE = 0.1


def forcing(eta: float, before: float, now: float) -> float:
    """The next eta, from the last one and the lengths of the gradient before and now.

    `before` is 0 where there was no step yet; the result then is `eta`.
    """
    if not before > 0:
        return eta
    kept = SHARE * math.pow(eta, ORDER)
    wanted = SHARE * math.pow(now / before, ORDER)
    return min(SHARE, max(wanted, kept if kept > LARGE else 0.0))
