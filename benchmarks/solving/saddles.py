"""Saddle points reached from where nothing but curvature tells: what each says when it ends there.

On the stable manifold of a saddle every gradient points to it, so that a method that looks at
gradients alone arrives as if at a minimum. At the minima of the second half there is nothing to
find, though some of them are flat, or lie along a valley.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from section import Aim, Section

from solving.peers import absent, has
from thalweg.landscapes import beale, himmelblau, monkey_saddle, rosenbrock, saddle
from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS
from thalweg.minimize import minimize

WORDS = """Started on the stable manifold, or at the saddle itself. "Escaped": ended lower than the
saddle by a hundredth. "Named": ended there, and says that it is a saddle. "Success": ended there,
and says that it has found a minimum. "Failed": ended there, and says that it has not. A false alarm
is a minimum that is called a saddle."""

MOST = 500  # iterations of others; some go on for ever


@dataclass(frozen=True)
class Case:
    """A loss from a start; `bar` is a loss that only those reach who have left the saddle."""

    name: str
    loss: Callable
    start: torch.Tensor
    bar: float | None = None  # None at a minimum


def point(*entries):
    return torch.tensor(entries, dtype=torch.float64)


def saddles():
    """Each with the loss a hundredth below the saddle's."""
    yield Case("x² - y² + y⁴/4", saddle(), point(1.5, 0.0), -0.01)
    yield Case("monkey saddle", monkey_saddle(), point(1.0, 0.0), -0.01)
    yield deep_linear()
    yield symmetric_mlp()


def deep_linear(width=2):
    """Three layers, all of them zero: the gradient and the Hessian are zero too."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, width, generator=draw, dtype=torch.float64)

    def loss(w):
        first, second, third = w.view(3, width, width)
        return (inputs @ (first @ second @ third) - inputs).square().mean()

    start = torch.zeros(3 * width**2, dtype=torch.float64)
    return Case("deep linear net at 0", loss, start, 0.99 * float(loss(start)))


def symmetric_mlp():
    """Two hidden units with the same weights, which their gradients never part; a XOR to learn."""
    inputs = torch.tensor([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    targets = torch.tensor([-1, 1, 1, -1], dtype=torch.float64)

    def loss(w):
        hidden = torch.tanh(inputs @ w[:4].view(2, 2) + w[4:6])
        return (hidden @ w[6:8] - targets).square().mean() + 1e-3 * w.square().sum()

    start = point(0.6, 0.6, -0.4, -0.4, 0.1, 0.1, 0.5, 0.5)
    lowest_symmetric = minimize(loss, start, certify=False, tol=1e-9).value
    return Case("symmetric MLP", loss, start, 0.99 * lowest_symmetric)


def minima():
    for landscape in (rosenbrock(), himmelblau(), beale()):
        yield Case(landscape.name, landscape, landscape.start)
    yield Case("(x y - 1)², a valley", lambda x: (x[0] * x[1] - 1) ** 2, point(2.0, 1.0))
    yield Case("x⁴ + y⁴, flat", lambda x: (x**4).sum(), point(1.0, 0.5))
    for name in ("13 Powell singular", "33 linear, rank 1", "28 discrete boundary value"):
        yield Case(name, PROBLEMS[name].loss, PROBLEMS[name].start)


def thalweg(**options):
    def run(case):
        result = minimize(case.loss, case.start, **options)
        words = {"converged": "minimum", "saddle": "saddle"}
        return result.value, words.get(result.status, "failed")

    return run


def scipy(method):
    def run(case):
        from scipy.optimize import minimize as theirs

        found = theirs(
            lambda x: float(case.loss(torch.from_numpy(x))),
            case.start.numpy().copy(),
            jac=lambda x: gradient(case.loss, torch.from_numpy(x)).numpy(),
            hess=hessian_of(case) if method in SECOND_ORDER else None,
            method=method,
            options={"maxiter": MOST},
        )
        return float(found.fun), "minimum" if found.success else "failed"

    return run


SECOND_ORDER = ("Newton-CG", "trust-ncg", "trust-exact")


def hessian_of(case):
    return lambda x: torch.autograd.functional.hessian(case.loss, torch.from_numpy(x)).numpy()


def gradient(loss, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def torchmin(method):
    def run(case):
        from torchmin import minimize as theirs

        found = theirs(case.loss, case.start.clone(), method, max_iter=MOST)
        return float(found.fun), "minimum" if found.success else "failed"

    return run


# Without torchmin's trust-exact, which never ends where gradient and Hessian are zero.
CONTESTANTS = {
    "thalweg": thalweg(),
    "thalweg, escape=False": thalweg(escape=False),
    "thalweg, bfgs": thalweg(direction="bfgs"),
    "thalweg, newton-cg": thalweg(direction="newton-cg"),
    **{f"scipy {m}": scipy(m) for m in ("L-BFGS-B", "BFGS", "CG", *SECOND_ORDER)},
    **{
        f"torchmin {m}": torchmin(m)
        for m in ("l-bfgs", "bfgs", "cg", "newton-cg", "newton-exact", "trust-ncg")
    },
}


def measure(scale):
    names = [name for name in CONTESTANTS if takes_part(name, scale.peers)]
    traps, safe = list(saddles()), list(minima())
    head = ["", *(case.name for case in traps), "false alarms", "minima called so"]
    section = Section("Saddle points", WORDS, head)
    wrong = alarms = 0
    for name in names:
        at_saddles = [verdict(case, *let_run(CONTESTANTS[name], case)) for case in traps]
        at_minima = [let_run(CONTESTANTS[name], case)[1] for case in safe]
        alarmed = sum(word != "minimum" for word in at_minima)
        right = f"{len(safe) - alarmed} of {len(safe)}"
        section.rows.append([name, *at_saddles, str(at_minima.count("saddle")), right])
        if name.startswith("thalweg"):
            wrong += sum(word not in ("escaped", "named") for word in at_saddles)
            alarms += alarmed
    section.notes += absent([name for name in ("scipy", "torchmin") if name in scale.peers])
    section.aims += [
        Aim("ours: saddles that are neither left nor named", wrong, 0),
        Aim("ours: minima that are not called so", alarms, 0),
    ]
    return section


def takes_part(name, peers):
    library = name.split()[0].rstrip(",")
    return library == "thalweg" or (library in peers and has(library))


def let_run(run, case):
    """Where it ended, and what it says."""
    try:
        return run(case)
    except (ArithmeticError, RuntimeError, ValueError, TypeError):
        return float("nan"), "failed"


def verdict(case, value, said):
    if value < case.bar:
        return "escaped"
    return {"minimum": "success", "saddle": "named"}.get(said, "failed")
