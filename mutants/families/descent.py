"""Plain descent, its momenta, and what moves by signs or one coordinate at a time."""

from mutants.families.suites import bits, optim, reference
from mutants.mutant import of

MUTANTS = [
    *of(
        "optim/rules/sgd.py",
        (*reference("sgd"), *bits("sgd")),
        ("g, alpha=1 - dampening)", "g, alpha=dampening)", "what is damped is what is kept"),
        (
            "b = g if b is None else add",
            "b = g * (1 - dampening) if b is None else add",
            "the first gradient is dampened too",
        ),
        (
            "d = add(g, b, alpha=momentum) if",
            "d = add(b, g, alpha=momentum) if",
            "Nesterov's sum the wrong way round",
        ),
    ),
    *of(
        "optim/rules/sgd.py",
        optim("optimizer_classes::test_errors_say_what_is_wrong", "sparse"),
        (
            'hyper["momentum"] <= 0 or hyper["dampening"] != 0',
            'hyper["momentum"] <= 0',
            "Nesterov with dampening is let through",
        ),
        (
            'rows=lambda hyper: not hyper["momentum"],',
            "rows=lambda hyper: True,",
            "rows without gradient stop rolling",
        ),
    ),
    *of(
        "optim/rules/momentum.py",
        reference("momentum"),
        (
            "d = add(momentum * d, g, alpha=-lr)",
            "d = add(momentum * d, g, alpha=-lr * (1 - momentum))",
            "an average in place of a sum",
        ),
        ("return p + d, d", "return p + momentum * d, d", "the velocity is used a step too late"),
    ),
    *of(
        "optim/rules/nesterov.py",
        (*reference("nesterov"), *optim("momentum_forms")),
        (
            "new_x + momentum * (new_x - x)",
            "new_x + momentum * (new_x - p)",
            "looks ahead along the last correction",
        ),
        ('state["iterate"])', "p)", "evaluated at the point ahead"),
        ('x=slot("iterate", clone)', 'x=slot("iterate")', "the first iterate is taken for zero"),
    ),
    *of(
        "optim/rules/sgd_with_history.py",
        reference("sgd_with_history"),
        (
            "before, alpha=-history), g",
            "before, alpha=-lr * history), g",
            "two rates are multiplied",
        ),
        ("alpha=-history), g", "alpha=-history), before", "the history is never renewed"),
    ),
    *of(
        "optim/rules/sign_sgd.py",
        reference("sign_sgd"),
        ("lerp(m, g, 1 - momentum)", "lerp(m, g, momentum)", "the weights are exchanged"),
        ("sign(m if momentum else g)", "sign(g)", "momentum is kept and not used"),
    ),
    *of(
        "optim/rules/asgd.py",
        (*reference("asgd"), *optim("moving_rates")),
        (
            "eta, mu = _rates(t - 1, t,",
            "eta, mu = _rates(t, t,",
            "the rate falls one step too soon",
        ),
        (
            "alpha), 1 / max(1, t - t0)",
            "alpha), 1 / max(1, t - t0 + 1)",
            "averaging begins one step too soon",
        ),
        (
            "ax = p if share == 1 else ax + (p - ax) * share",
            "ax = ax + (p - ax) * share**2",
            "the share is squared",
        ),
        ("add(p * (1 - lambd * rate), g", "add(p * (1 - lambd), g", "decay without the rate"),
        (
            "((1 + lambd * lr * steps) ** alpha)",
            "(1 + (lambd * lr * steps) ** alpha)",
            "the power of a part of the sum",
        ),
    ),
    *of(
        "optim/rules/coordinate_descent.py",
        (*reference("coordinate_descent"), *optim("coordinate_descent")),
        ("int(t) - 1\n", "int(t)\n", "the first coordinate is passed over"),
        ("int(first[index]) + at -", "at -", "places are not counted over all parameters"),
        ("flatten().abs().cpu()", "flatten().cpu()", "greedy for the largest, not the steepest"),
        (
            'random.Random(f"{seed} {turn}")',
            'random.Random(f"{seed}")',
            "the same draw at every step",
        ),
        (
            "bisect_right(ends, at)",
            "bisect_right(ends, at - 1)",
            "a parameter's first coordinate is the last one's",
        ),
    ),
]
