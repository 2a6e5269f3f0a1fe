"""Climbing instead of descending: the rule sees the gradient with its sign turned."""

from typing import Any

from thalweg.optim.rule import Rule


def maximize(rule: Rule) -> Rule:
    """Turn the gradient's sign if the hyperparameter `maximize` is set: g <- -g."""

    def formula(p: Any, g: Any, *state: Any, maximize: Any, **hyper: Any) -> Any:
        return rule.formula(p, -g if maximize else g, *state, **hyper)

    return rule.wrapped("maximize", formula, rows=lambda hyper: True, maximize=False)
