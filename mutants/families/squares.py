"""AdaGrad and its kin: what divides by the size of the gradients so far."""

from mutants.families.suites import reference
from mutants.mutant import of

MUTANTS = [
    *of(
        "optim/rules/adagrad.py",
        reference("adagrad"),
        ("(1 + (t - 1) * lr_decay)", "(1 + t * lr_decay)", "the rate falls one step too soon"),
        ("root = sqrt(s + eps) if", "root = sqrt(s) + eps if", "eps never stands inside the root"),
        ("s = addcmul(s, g, g)  #", "s = s + g  #", "the gradient is not squared"),
        ("filled(p, initial_accumulator_value)", "filled(p, 0.0)", "the sum starts at zero always"),
    ),
    *of(
        "optim/rules/rmsprop.py",
        reference("rmsprop"),
        ("g, g, value=1 - alpha)  #", "g, g, value=alpha)  #", "the weights are exchanged"),
        ("value=-1 / missing**2)", "value=-1 / missing)", "the mean's correction is not squared"),
        (
            "value=lr if lr_inside_momentum else 1)",
            "value=1)",
            "the rate never enters the velocity",
        ),
        ("missing = 1 - alpha**t if", "missing = 1 - alpha ** (t - 1) if", "corrected a step late"),
        ("lerp(m, g, 1 - alpha) if centered", "lerp(m, g, alpha) if centered", "mean by 1 - alpha"),
        ("square = s / missing if bias_correction", "square = s if bias_correction", "uncorrected"),
    ),
    *of(
        "optim/rules/adadelta.py",
        reference("adadelta"),
        (
            "addcmul(rho * x, d, d,",
            "addcmul(rho * x, d, g,",
            "the step is averaged with the gradient",
        ),
        ("d = sqrt(x + eps) /", "d = sqrt(x) /", "no eps where it starts the first step"),
        ("/ sqrt(s + eps) * g", "/ (sqrt(s) + eps) * g", "eps outside the root"),
    ),
    *of(
        "optim/rules/rprop.py",
        reference("rprop"),
        (
            "g = where(s < 0, 0.0, g)",
            "g = where(s <= 0, 0.0, g)",
            "gradients after zero are dropped",
        ),
        ("where(s < 0, -back, sign(g) * step)", "sign(g) * step", "the paper's step is not undone"),
        ("where(s > 0, up, where(s < 0, down", "where(s > 0, down, where(s < 0, up", "upside down"),
        ("back = sign(g_prev) * step", "back = sign(g) * step", "undoes along the new gradient"),
        (
            "step = clamp(step * where(s > 0, up, where(s < 0, down, s + 1)), *step_sizes)",
            "step = step * where(s > 0, up, where(s < 0, down, s + 1))",
            "steps have no bounds",
        ),
    ),
]
