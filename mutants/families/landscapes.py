"""Losses with known minima, curvatures and noise."""

from mutants.mutant import of

TESTS = ("tests/landscapes/test_landscapes.py",)

MUTANTS = [
    *of(
        "landscapes/quadratic.py",
        TESTS,
        ("(w @ q.to(w)) ** 2).sum(-1) / 2", "(w @ q.to(w)) ** 2).sum(-1)", "the half is missing"),
        ("[[c, -s], [s, c]]", "[[c, s], [-s, c]]", "turned the other way"),
        ("q * r.diagonal().sign()", "q", "signs that the factorization favours"),
        ("isolated=bool((curvatures > 0).all())", "isolated=True", "a gutter has one minimizer"),
        (
            "if n == 0 or not bool((curvatures >= 0).all()):",
            "if n == 0:",
            "negative curvature is taken",
        ),
    ),
    *of(
        "landscapes/rosenbrock.py",
        TESTS,
        ("b * (y - x**2) ** 2\n", "b * (y - x) ** 2\n", "a straight valley"),
        ("1 + 4 * a**2 * b + b", "2 + 4 * a**2 * b + b", "the trace is not halved throughout"),
    ),
    *of(
        "landscapes/saddle.py",
        TESTS,
        ("x**2 - y**2 + y**4 / 4", "x**2 - y**2 + y**4 / 2", "the valleys are nearer"),
        ("(x**2 + y**2) ** 2 / 4", "(x**2 + y**2) / 4", "the monkey saddle has no floor"),
    ),
    *of(
        "landscapes/plateau.py",
        TESTS,
        (
            "squared / (scale**2 + squared)",
            "squared / (scale + squared)",
            "the scale is not squared",
        ),
    ),
    *of(
        "landscapes/cliff.py",
        TESTS,
        ("(10 - 15 * u + 6 * u**2)", "(10 - 15 * u + 5 * u**2)", "the wall ends in an edge"),
        (".clamp(0, 1)", ".clamp(0)", "the wall goes on for ever"),
        ("for _ in range(steps):", "for _ in range(steps - 1):", "a step short"),
    ),
    *of(
        "landscapes/himmelblau.py",
        TESTS,
        (
            '("minimum", 3.584428340330491',
            '("saddle", 3.584428340330491',
            "a minimum called a saddle",
        ),
        ("12 * y**2 + 4 * x - 26\n", "12 * y**2 + 4 * x - 42\n", "the other derivative's constant"),
    ),
    *of(
        "landscapes/beale.py",
        TESTS,
        (
            "enumerate(TARGETS, 1))\n        first",
            "enumerate(TARGETS, 0))\n        first",
            "powers from zero",
        ),
    ),
    *of(
        "landscapes/styblinski_tang.py",
        TESTS,
        ("[6 * x**2 - 16 for x in at]", "[12 * x**2 - 32 for x in at]", "the half is forgotten"),
    ),
    *of(
        "landscapes/weight_chain.py",
        TESTS,
        ("(1 - w.prod(-1)) ** 2", "(1 - w.prod(-1)).abs()", "a distance in place of its square"),
        (
            '*flat, 2.0 * depth),\n            critical("minimum", other',
            '*flat, 2.0),\n            critical("minimum", other',
            "the curvature of one weight",
        ),
    ),
    *of(
        "landscapes/worst_case.py",
        TESTS,
        ("(2 * n + 2)) ** 2", "(2 * n)) ** 2", "the spectrum of a shorter chain"),
        ("-smoothness / 8 * n / (n + 1)", "-smoothness / 8", "the minimum of an endless chain"),
    ),
    *of(
        "landscapes/linear_regression.py",
        TESTS,
        (
            "torch.cov(gradients.T, correction=0)",
            "torch.cov(gradients.T)",
            "the sample's correction",
        ),
        ("(residuals**2).mean(-1) / 2", "(residuals**2).mean(-1)", "the half is missing"),
        (
            "CURVATURES[0] - math.hypot(*CENTER) ** 2",
            "CURVATURES[0]",
            "the centers' share counts twice",
        ),
    ),
    *of(
        "landscapes/noisy_quadratic.py",
        TESTS,
        ("sigma / batch**0.5)", "sigma / batch)", "noise falls with the batch, not its root"),
        (
            "factor * mean, factor**2 * variance + noise",
            "factor * mean, factor * variance + noise",
            "the variance contracts too slowly",
        ),
        ("torch.diag(sigma**2)", "torch.diag(sigma)", "deviations for variances"),
    ),
    *of(
        "landscapes/landscape.py",
        TESTS,
        ("if w.shape[-1:] != self.start.shape:", "if False:", "any number of coordinates"),
        ("excess <= 1e-9 * max(1.0, abs(self.minimum))", "True", "every minimum is the lowest"),
        ("point(*sorted(curvatures))", "point(*curvatures)", "curvatures in any order"),
    ),
]
