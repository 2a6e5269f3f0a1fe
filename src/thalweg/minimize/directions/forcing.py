r"""How exactly to solve for a Newton step: the forcing sequence.

    |H d + g| <= eta |g|,     eta = min(1/4, 0.9 (|g| / |g before|)^phi),   phi = (1 + sqrt 5) / 2

Far from a minimum the quadratic model is not worth an exact solution; near it eta falls as fast as
the gradient does, and the convergence is of order phi.

S. Eisenstat & H. Walker, *SIAM J. Sci. Comput.* 17 (1996), choice 2. It knows no unit: a loss times
1e8 is solved for as exactly. The paper allows 0.9 at most, and then keeps eta from falling at once;
on seven problems of 2 to 100 parameters Newton-CG took three times the evaluations and the products
for it, in all.
"""

import math

SHARE = 0.9
ORDER = (1 + math.sqrt(5)) / 2
LARGEST = 0.25


def forcing(before: float, now: float) -> float:
    """The next eta, from the lengths of the gradient before and now; `before` is above 0."""
    return min(LARGEST, SHARE * math.pow(now / before, ORDER))
