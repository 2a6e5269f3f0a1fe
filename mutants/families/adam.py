"""Adam, and the variants that differ from it in one term."""

from mutants.families.suites import optim, reference
from mutants.mutant import of

MUTANTS = [
    *of(
        "optim/rules/adam.py",
        reference("adam"),
        ("m = lerp(m, g, 1 - b1)  #", "m = lerp(m, g, b1)  #", "the weights are exchanged"),
        (
            "v = addcmul(b2 * v, g, g, value=1 - b2)  #",
            "v = addcmul(b2 * v, g, m, value=1 - b2)  #",
            "squares of the gradient times its mean",
        ),
        (
            "c1, c2 = (1 - b1**t, 1 - b2**t) if",
            "c1, c2 = (1 - b2**t, 1 - b1**t) if",
            "the corrections are exchanged",
        ),
        (
            'and amsgrad_convention == "paper")',
            'and amsgrad_convention != "paper")',
            "the paper's AMSGrad corrects",
        ),
        (
            "v_max, c2 = maximum(v_max, v / c2), 1.0",
            "v_max = maximum(v_max, v / c2)",
            "optax's AMSGrad corrects twice",
        ),
        ("v_max = maximum(v_max, v)\n", "v_max = v\n", "AMSGrad without the maximum"),
        ("(sqrt(v) + eps) / c**0.5", "sqrt(v) / c**0.5 + eps", "eps always corrected"),
        ("sqrt(v / c + eps)", "sqrt(v / c) + eps", "eps never inside the root"),
        ("clamp(root, min=eps)", "clamp(root, max=eps)", "the floor is a ceiling"),
        ("v, v_max if amsgrad else None", "v, v if amsgrad else None", "the maximum is forgotten"),
    ),
    *of(
        "optim/rules/adamax.py",
        reference("adamax"),
        (
            "abs(g) + eps if inside else abs(g)",
            "g + eps if inside else abs(g)",
            "the gradient's sign stays on",
        ),
        ("maximum(b2 * u,", "maximum(u,", "the largest gradient is never forgotten"),
        ("-(lr / (1 - b1**t))", "-(lr / (1 - b2**t))", "corrected by the other beta"),
    ),
    *of(
        "optim/rules/nadam.py",
        reference("nadam"),
        ("for step in (t, t + 1))", "for step in (t - 1, t))", "the schedule runs a step behind"),
        (
            "product = product * mu  #",
            "product = product * mu_next  #",
            "the product is a step ahead",
        ),
        ("(1 - done * mu_next)", "(1 - done)", "one correction for both terms"),
        ('(mu if convention == "paper" else b1)', "b1", "the paper's mean with a constant beta"),
    ),
    *of(
        "optim/rules/radam.py",
        reference("radam"),
        ("- 2 * t * b2**t / held", "- 2 * t * b2**t", "the length of the average is off"),
        ("if r <= rectify_above", "if r < 4", "the threshold is not asked"),
        (
            "(r - 4) * (r - 2) * most /",
            "(r - 4) * (r - 2) /",
            "a factor of the rectifier is missing",
        ),
        ("* (most - 2) * r)) ** 0.5", "* (most - 2) * r))", "the rectifier without its root"),
    ),
    *of(
        "optim/rules/yogi.py",
        reference("yogi"),
        ("sign(v - square) * square", "(v - square)", "Adam's second moment"),
        ("sign(v - square)", "sign(square - v)", "the second moment runs away"),
        ("sqrt(v / (1 - b2**t)) + eps", "sqrt(v) + eps", "optax's second moment uncorrected"),
    ),
    *of(
        "optim/rules/adabelief.py",
        reference("adabelief"),
        ("surprise = g - m", "surprise = g", "Adam's second moment"),
        (
            's = s + eps if eps_placement == "both"',
            's = s + 0 if eps_placement == "both"',
            "no eps in the state",
        ),
        (
            "sqrt(s) / (1 - b2**t) ** 0.5 + eps",
            "sqrt(s / (1 - b2**t) ** 0.5) + eps",
            "the correction within the root",
        ),
    ),
    *of(
        "optim/rules/sparse_adam.py",
        (*reference("sparse_adam"), *optim("sparse")),
        ("(1 - b2**t) ** 0.5 /", "(1 - b2**t) /", "the correction without its root"),
        ("(m / (sqrt(v) + eps)) * -rate", "(m / sqrt(v + eps)) * -rate", "eps inside the root"),
    ),
]
