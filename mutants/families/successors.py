"""Adan, Lion, Prodigy and Sophia."""

from mutants.families.suites import optim, reference
from mutants.mutant import of

MUTANTS = [
    *of(
        "optim/rules/adan.py",
        reference("adan"),
        ("ahead = add(g, change, alpha=share)", "ahead = g", "the square looks not ahead"),
        ("lerp(v, change, 1 - b2)", "lerp(v, change, 1 - b1)", "the change by the wrong beta"),
        ("value=-lr * share / c2)", "value=-lr / c2)", "the whole change in the step"),
        (
            "(g if g_prev is None else g_prev)",
            "(0.0 if g_prev is None else g_prev)",
            "the first gradient counts as a change",
        ),
        ("sqrt(n) / c3**0.5 + eps", "sqrt(n) / c3 + eps", "the correction without its root"),
        ("m, n = g, g * g", "m = g", "the paper's start of squares is left out"),
        ("share = 1 - b2 if", "share = b2 if", "optax's weight of the change"),
    ),
    *of(
        "optim/rules/lion.py",
        reference("lion"),
        ("d = sign(lerp(m, g, 1 - b1))", "d = sign(m)", "the gradient comes a step late"),
        ("lerp(m, g, 1 - b2)", "lerp(m, g, 1 - b1)", "one beta for both"),
    ),
    *of(
        "optim/rules/prodigy.py",
        reference("prodigy"),
        (
            "k, d = betas, betas[1] ** 0.5,",
            "k, d = betas, betas[1],",
            "the root of beta 2 is missing",
        ),
        ("sqrt(v) + d * eps", "sqrt(v) + eps", "eps does not scale with the distance"),
        ("p0 - p,", "p - p0,", "the way made with the wrong sign"),
        ("max(known, made / length)", "made / length", "the distance may shrink"),
        (
            "(1 - lr * d * weight_decay)",
            "(1 - lr * weight_decay)",
            "decay does not follow the distance",
        ),
        ("x.abs().sum()", "x.sum()", "a sum in place of a norm"),
        ('p0=slot("p0", clone)', 'p0=slot("p0")', "the start is taken for zero"),
    ),
    *of(
        "optim/rules/sophia.py",
        (*reference("sophia"), *optim("sophia")),
        ("lerp(m, g, 1 - betas[0])", "lerp(m, g, 1 - betas[1])", "the wrong beta"),
        (
            "clamp(curvature_scale * h, min=eps)",
            "curvature_scale * h + eps",
            "negative curvature is followed",
        ),
        ("clamp(newton, -1.0, 1.0)", "clamp(newton, max=1.0)", "clipped on one side"),
    ),
    *of(
        "optim/classes/sophia.py",
        optim("sophia"),
        ("1 - float(b2))", "float(b2))", "the weights are exchanged"),
        ('group["betas"][1]', 'group["betas"][0]', "the estimate is kept by the wrong beta"),
        (
            "(loss is None) == (logits is None)",
            "loss is None and logits is None",
            "two estimators at once are let through",
        ),
    ),
    *of(
        "optim/companions/hessian_diagonals.py",
        optim("sophia"),
        ("len(rows) * g * g", "g * g", "the batch size is missing"),
        (
            "torch.multinomial(chances, 1, generator=generator).squeeze(-1)",
            "chances.argmax(-1)",
            "the likeliest label in place of a drawn one",
        ),
        ("draws[i] * product if", "product if", "not multiplied by the draw again"),
        (
            "torch.zeros_like(gradient)",
            "torch.ones_like(gradient)",
            "a straight line has curvature",
        ),
    ),
]
