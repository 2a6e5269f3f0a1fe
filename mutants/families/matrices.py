"""Rules that look at a matrix or at a layer as a whole."""

from mutants.families.suites import optim, reference
from mutants.mutant import of

MUTANTS = [
    *of(
        "optim/rules/muon.py",
        (*reference("muon"), *optim("matrix_classes::test_the_steps_are_pytorchs")),
        (
            "lerp(g, m, momentum) if nesterov",
            "lerp(m, g, momentum) if nesterov",
            "Nesterov's mixture the wrong way round",
        ),
        ("0.2 * max(rows, columns) ** 0.5", "0.2 * min(rows, columns) ** 0.5", "the shorter side"),
        (
            "max(1, rows / max(columns, 1)) ** 0.5",
            "max(1, columns / max(rows, 1)) ** 0.5",
            "the ratio upside down",
        ),
    ),
    *of(
        "optim/matrices/newton_schulz.py",
        reference("muon"),
        (
            "tall = x.shape[0] > x.shape[1]",
            "tall = x.shape[0] < x.shape[1]",
            "the larger Gram matrix",
        ),
        (
            "torch.linalg.vector_norm(x).clamp(min=eps)",
            "torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=eps)",
            "rows are normalized, not the matrix",
        ),
        ("beta=b, alpha=c)", "beta=c, alpha=b)", "the polynomial's coefficients are exchanged"),
        ("return x.T if tall else x", "return x", "comes back transposed"),
    ),
    *of(
        "optim/rules/adafactor.py",
        (*reference("adafactor"), *optim("matrix_classes::test_the_steps_are_pytorchs")),
        (
            "min(lr, 1 / t**0.5) if relative_step",
            "1 / t**0.5 if relative_step",
            "lr bounds nothing",
        ),
        ("max(eps[1], _rms(p)) * rate", "_rms(p) * rate", "zero weights never leave zero"),
        ("_mean(square, -2)", "_mean(square, -1)", "columns as rows"),
        ("r.mean(dim=-2, keepdim=True)", "r.mean()", "one mean for all matrices of a stack"),
        ("clip = max(1.0, _rms(u, d))", "clip = _rms(u, d)", "short steps are lengthened"),
        ("floor * floor", "floor", "the floor of a square is not squared"),
        (
            "m = lerp(m, u * (rate / clip), 1 - beta1)",
            "m = lerp(m, u * rate, 1 - beta1)",
            "with momentum nothing is clipped",
        ),
    ),
    *of(
        "optim/rules/lamb.py",
        reference("lamb"),
        ("+ weight_decay * p\n", "\n", "decay is left out of the step"),
        (
            "if not (weight_decay or always_adapt)",
            "if not always_adapt",
            "decayed layers do not adapt",
        ),
        (
            "(m / c1) / (sqrt(v / c2) + eps)",
            "(m / c1) / (sqrt(v / c2 + eps))",
            "eps inside the root",
        ),
    ),
    *of(
        "optim/matrices/trust.py",
        (*optim("matrices"), *reference("lamb")),
        ("weights / step, torch.ones_like", "step / weights, torch.ones_like", "upside down"),
        ("(weights > 0) & (step > 0)", "step > 0", "zero weights never leave zero"),
        (
            "weights.clamp(max=max_weight_norm)",
            "weights.clamp(min=max_weight_norm)",
            "the bound is a floor",
        ),
    ),
    *of(
        "optim/rules/lars.py",
        (*optim("matrices"), *reference("lars")),
        ("slope + weight_decay * length", "slope", "decay does not count in the trust"),
        (
            "momentum * b + d if nesterov else b",
            "momentum * b + d if not nesterov else b",
            "Nesterov when not asked",
        ),
        ("inner, outer = (lr, 1.0) if", "inner, outer = (lr, lr) if", "the rate acts twice"),
        ("(length > 0) & (slope > 0)", "(length > 0)", "a gradient of zero is divided by"),
    ),
    *of(
        "optim/rules/shampoo.py",
        reference("shampoo"),
        ("root = 2 * sides if", "root = 4 if", "vectors take the matrices' root"),
        (
            "(t - 1) % precondition_frequency",
            "t % precondition_frequency",
            "roots come a step late",
        ),
        ("shampoo_beta, 1 - shampoo_beta)", "shampoo_beta, 1.0)", "a sum that also forgets"),
        (
            "zeros + eps * torch.eye(len(zeros)).to(zeros)\n\n\ndef _right(",
            "zeros\n\n\ndef _right(",
            "the left side begins at zero",
        ),
        ("vector_norm(other) / length", "vector_norm(other)", "grafting multiplies lengths"),
        ("s = s + in_single(g) ** 2", "s = in_single(g) ** 2", "AdaGrad's sum is not a sum"),
    ),
    *of(
        "optim/matrices/inverse_root.py",
        (*optim("matrices"), *reference("shampoo")),
        (
            "values > floor, values, torch.inf)",
            "values > -1, values, torch.inf)",
            "rounding is taken for directions",
        ),
        ("** (-1 / root)", "** (1 / root)", "the root is not inverted"),
    ),
    *of(
        "optim/matrices/sides.py",
        reference("shampoo", "soap"),
        (
            "torch.addmm(right, x.T, x,",
            "torch.addmm(right, x, x.T,",
            "left and right are exchanged",
        ),
        ("right.to(x.dtype).T\n", "right.to(x.dtype)\n", "the right side is not transposed"),
        ("if k <= limit and p.dim() > 1", "if k <= limit", "vectors have a right side"),
    ),
    *of(
        "optim/rules/soap.py",
        reference("soap"),
        ("between(back[0], x, back[1]) ** 2", "x**2", "squares outside the eigenbasis"),
        (
            "d = between(left_basis, d, right_basis)",
            "d = between(back[0], d, back[1])",
            "turned forth twice and never back",
        ),
        ("n = t - 1 if skip_first else t", "n = t", "corrected as if the first step had counted"),
        ("v.index_select(dim, order)", "v", "squares do not follow their columns"),
        (
            "beta = b2 if shampoo_beta is None",
            "beta = b1 if shampoo_beta is None",
            "the wrong beta",
        ),
    ),
    *of(
        "optim/matrices/bases.py",
        (*optim("matrices"), *reference("soap")),
        ("image[:, order]", "image", "the columns stay where they are"),
        (
            "torch.flip(eigenpairs(x)[1], (1,))",
            "eigenpairs(x)[1]",
            "the smallest eigenvalue first",
        ),
    ),
]
