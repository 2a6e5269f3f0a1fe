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


def armijo(point: Point, start: Point, c1: float, noise: float = 0.0) -> bool:
    """Whether the loss fell enough, or may have as far as `noise` lets tell."""
    return point.value <= start.value + c1 * point.alpha * start.slope + noise


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
    return slope_fell(point, start, c1) and point.slope >= c2 * start.slope


def slope_fell(point: Point, start: Point, c1: float) -> bool:
    """Armijo's condition by the slopes: of a quadratic the two say the same."""
    return point.slope <= (2 * c1 - 1) * start.slope


def check_constants(call: str, decrease: float, curvature: float | None = None) -> None:
    """Raise ValueError unless every line that is bounded below has steps that meet the conditions.

    Above 1/2, Armijo's condition refuses the minimum of a quadratic.
    """
    if not 0 < decrease < 0.5:
        raise ValueError(f"{call}(decrease={decrease}): give c1 with 0 < decrease < 1/2.")
    if curvature is not None and not decrease <= curvature < 1:
        raise ValueError(
            f"{call}(decrease={decrease}, curvature={curvature}): both conditions can be met where "
            "decrease <= curvature < 1."
        )
