"""Max-norm: the weights of a unit stay within a ball.

After each step a unit whose weights are longer than `max_unit_norm` is shortened to that, which is
the Euclidean projection onto the ball:

    p <- p min(1, max_unit_norm / |p|)        unit by unit

Convention: a unit is a slice along the first dimension, and a vector is one unit; give biases a
param group with `max_unit_norm=None` to leave them out.

Reference: Srebro & Shraibman (2005); Srivastava et al. (2014), section 5.1.
"""

from typing import Any

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule
from thalweg.optim.wrappers.units import within

define(
    "max_unit_norm",
    "how long the weights of a unit may become",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)


def bound_units(rule: Rule) -> Rule:
    """Project every unit's weights onto a ball after the step. `max_unit_norm=None` is off."""

    def formula(p: Any, g: Any, *state: Any, max_unit_norm: Any, **hyper: Any) -> Any:
        p, *new = rule.formula(p, g, *state, **hyper)
        if max_unit_norm is not None:
            p = within(p, max_unit_norm)
        return p, *new

    return rule.wrapped(
        "bound_units",
        formula,
        without=("pointwise", "rotation-equivariant"),
        max_unit_norm=3.0,
    )
