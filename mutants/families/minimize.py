"""Directions, searches, and the loop that joins them."""

from mutants.families.suites import minimize
from mutants.mutant import of

MUTANTS = [
    *of(
        "minimize/directions/conjugate_gradient.py",
        minimize("first_order_directions"),
        ("y = g - before\n", "y = before - g\n", "the change of the gradient the other way round"),
        ("late = self._since + 1 >= size", "late = self._since >= size", "a restart too late"),
        ("abs(p.across) >= ORTHOGONAL", "abs(p.across) <= ORTHOGONAL", "Powell's test reversed"),
    ),
    *of(
        "minimize/directions/quasi_newton.py",
        minimize("first_order_directions", "learned_models"),
        (
            "rho * (1 + rho * dot(taught.y, hy))",
            "rho * (1 + dot(taught.y, hy))",
            "BFGS without rho in its last term",
        ),
        ("+ outer(taught.s) / taught.sy", "- outer(taught.s) / taught.sy", "DFP takes s s' off"),
        ("return inverse + outer(r) / ry", "return inverse - outer(r) / ry", "SR1's sign"),
    ),
    *of(
        "minimize/directions/pair.py",
        minimize("first_order_directions", "learned_models", "pair_memory"),
        ("KEPT = 0.2", "KEPT = 0.02", "Powell keeps a tenth of his share"),
        (
            "theta = (1 - KEPT) * sbs / (sbs - taught.sy)",
            "theta = KEPT * sbs / (sbs - taught.sy)",
            "the shares of old and new exchanged",
        ),
    ),
    *of(
        "minimize/directions/spectrum.py",
        minimize("newton_directions"),
        (
            'values.abs() if modification == "absolute" else values',
            "values",
            "negative curvature is floored, not taken by its size",
        ),
        ("return -(spectrum.vectors @ divided)", "return spectrum.vectors @ divided", "uphill"),
    ),
    *of(
        "minimize/directions/forcing.py",
        minimize("newton_directions"),
        ("ORDER = (1 + math.sqrt(5)) / 2", "ORDER = 1.0", "eta falls as the gradient alone does"),
    ),
    *of(
        "minimize/directions/damping.py",
        minimize("least_squares_directions"),
        ("if ratio > GOOD:", "if ratio < GOOD:", "damping falls after bad steps"),
        ("(2 * ratio - 1) ** 3", "(2 * ratio - 1) ** 2", "Nielsen's power"),
    ),
    *of(
        "minimize/directions/quadratic_model.py",
        minimize("least_squares_directions"),
        (
            "alpha**2 * self.curvature / 2",
            "alpha**2 * self.curvature",
            "the quadratic term without its half",
        ),
    ),
    *of(
        "minimize/searches/conditions.py",
        minimize("line_searches", "strong_wolfe"),
        (
            "return abs(point.slope) <= c2 * abs(start.slope)",
            "return point.slope <= c2 * abs(start.slope)",
            "steep descent counts as flat",
        ),
        (
            "point.slope <= (2 * c1 - 1) * start.slope",
            "point.slope <= (c1 - 1) * start.slope",
            "the approximate condition with another constant",
        ),
    ),
    *of(
        "minimize/searches/more_thuente.py",
        minimize("strong_wolfe"),
        (
            "alpha = low + 0.5 * (high - low)",
            "alpha = low + 0.66 * (high - low)",
            "two thirds of the interval instead of its middle",
        ),
        (
            "return replace(self, low=trial, high=self.low, bracketed=True)",
            "return replace(self, low=trial, bracketed=True)",
            "the wrong end is kept where the slope turns",
        ),
    ),
    *of(
        "minimize/searches/exact_quadratic.py",
        minimize("line_searches"),
        ("return -slope / curvature", "return -slope / (2 * curvature)", "half of the exact step"),
    ),
    *of(
        "minimize/searches/trust_region/radius.py",
        minimize("trust_region"),
        ("if ratio > GOOD and trial.on_boundary:", "if ratio > GOOD:", "grows from inside too"),
        (
            "SHRINK * min(radius, length(trial.vector) or radius)",
            "SHRINK * radius",
            "a quarter of the radius, not of the step",
        ),
    ),
    *of(
        "minimize/loop.py",
        minimize("minimize_endings", "trust_steps", "hessian_free"),
        (
            "self.counts.losses += losses_of(self.direction) - asked",
            "self.counts.losses += 0 * asked",
            "losses of the direction's own are not counted",
        ),
    ),
]
