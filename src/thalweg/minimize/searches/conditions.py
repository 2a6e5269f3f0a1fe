"""When a step along a line is good enough.

    Armijo             phi(alpha) <= phi(0) + c1 alpha phi'(0)
    strong Wolfe       Armijo, and |phi'(alpha)| <= c2 |phi'(0)|
    approximate Wolfe  (2 c1 - 1) phi'(0) >= phi'(alpha) >= c2 phi'(0)

L. Armijo, *Pacific J. Math.* 16 (1966); P. Wolfe, *SIAM Review* 11 (1969). The approximate
conditions are W. Hager & H. Zhang's, *SIAM J. Optim.* 16 (2005), eq. 4.2: Armijo's, for the
quadratic with the slopes seen. Near a minimum phi(alpha) - phi(0) is of the order of alpha^2 and
drowns in phi's rounding at alpha ~ sqrt(eps); slopes are of the order of alpha and go on to eps.
"""

from thalweg.minimize.searches.trials import Point


def armijo(point: Point, start: Point, c1: float) -> bool:
    """Whether the loss fell enough."""
    return point.value <= start.value + c1 * point.alpha * start.slope


def flat_enough(point: Point, start: Point, c2: float) -> bool:
    """Whether the slope fell enough, in absolute value."""
    return abs(point.slope) <= c2 * abs(start.slope)


def strong_wolfe(point: Point, start: Point, c1: float, c2: float) -> bool:
    """Whether both fell enough."""
    return armijo(point, start, c1) and flat_enough(point, start, c2)


def wolfe(point: Point, start: Point, c1: float, c2: float) -> bool:
    """Whether the loss fell enough and the line no longer falls steeply; it may rise."""
    return armijo(point, start, c1) and point.slope >= c2 * start.slope


def approximate_wolfe(point: Point, start: Point, c1: float, c2: float) -> bool:
    """Whether the slopes say that the loss fell enough; only where its value says nothing else."""
    return (2 * c1 - 1) * start.slope >= point.slope >= c2 * start.slope


def check_constants(call: str, decrease: float, curvature: float) -> None:
    """Raise ValueError unless steps that satisfy both conditions exist on every line bounded below.

    Above 1/2, Armijo's condition refuses the minimum of a quadratic.
    """
    if not 0 < decrease < 0.5 or not decrease <= curvature < 1:
        raise ValueError(
            f"{call}(decrease={decrease}, curvature={curvature}): the conditions can be met where "
            "0 < decrease < 1/2 and decrease <= curvature < 1."
        )
