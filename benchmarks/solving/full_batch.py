"""Full-batch training to a target loss, counted in gradients."""

import math
import statistics
from contextlib import suppress
from functools import partial

import torch
from curving.flops import NoModules
from section import Aim, Section
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from solving.nets import PROBLEMS
from solving.peers import absent, has
from thalweg.minimize import Objective, minimize

MOST, MOST_QUICK = 1000, 60  # gradients
WORDS = """Floating-point operations until the loss of all data first is at the target, over those
of one loss with its gradient, as `torch.utils.flop_counter` counts them: products with curvature
matrices, losses looked at and their preparations all cost what they cost. A method's sums over its
own vectors of n entries, and solutions with a matrix of n rows that it has written down, cost
nothing: the counter does not know inner products and factorizations, and is told to leave out what
is written as a product of matrices. Medians over random starts, in brackets how many of them
got there within {most} gradients. The others' own stopping rules are off."""


class Over(Exception):
    """The target is reached, or the budget spent."""


class Budget:
    """Operations so far, in gradients, and the end of a run."""

    def __init__(self, problem, seed, most):
        self.problem, self.most = problem, most
        self.model, (self.inputs, self.targets) = problem.model(seed), problem.data()
        self.params = dict(self.model.named_parameters())
        self.spent_at = math.inf
        self.counter = counter(len(self.start))
        self.unit = operations(lambda: self.gradient(self.start), len(self.start))

    @property
    def start(self):
        return torch.nn.utils.parameters_to_vector(self.params.values()).detach().clone()

    @property
    def spent(self):
        return self.counter.get_total_flops() / self.unit

    def see(self, value):
        """End the run if the loss is at the target, or the budget spent."""
        if value <= self.problem.target:
            self.spent_at = self.spent
            raise Over
        if self.spent > self.most:
            raise Over

    def value(self, x):
        """The loss at flat x, differentiable; seen."""
        value = self._value(x)
        self.see(value.item())
        return value

    def gradient(self, x):
        x = x.detach().requires_grad_()
        value = self._value(x)
        return value.detach(), torch.autograd.grad(value, x)[0]

    def _value(self, x):
        pieces = torch.split(x, [p.numel() for p in self.params.values()])
        shaped = [piece.view_as(p) for piece, p in zip(pieces, self.params.values(), strict=True)]
        named = dict(zip(self.params, shaped, strict=True))
        output = functional_call(self.model, named, (self.inputs,))
        return self.problem.loss(output, self.targets)


def counter(size):
    """Counts operations, but for those over vectors of all `size` parameters."""

    def of_product(left, right, *_, **__):
        (rows, inner), columns = left, right[-1]
        return 0 if size in (rows, inner, columns) else 2 * rows * inner * columns

    made = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mm: of_product})
    made.mod_tracker = NoModules()
    return made


def operations(work, size):
    with counter(size) as made:
        work()
    return made.get_total_flops()


def thalweg(budget, direction="l-bfgs", **options):
    objective = Objective.of_model(
        budget.model, budget.problem.loss, (budget.inputs, budget.targets)
    )
    see = lambda x, record: budget.see(record.value)
    options = {"tol": 1e-12, "max_evaluations": 10**9, "callback": see, **options}
    return minimize(objective, objective.start, direction, **options)


def scipy(budget):
    from scipy import optimize

    def function(x):
        value, gradient = budget.gradient(torch.from_numpy(x))
        budget.see(value.item())
        return value.item(), gradient.numpy()

    options = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
    optimize.minimize(function, budget.start.numpy(), jac=True, method="L-BFGS-B", options=options)


def torchmin(budget, method, **options):
    from torchmin import minimize as theirs

    theirs(budget.value, budget.start, method, max_iter=10**9, options=options)


def torch_lbfgs(budget, **options):
    x = budget.start.requires_grad_()
    endless = {"max_iter": 10**9, "max_eval": 10**9, "tolerance_grad": 0, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS([x], line_search_fn="strong_wolfe", **endless, **options)

    def closure():
        optimizer.zero_grad()
        value = budget.value(x)
        value.backward()
        return value

    optimizer.step(closure)


def torchzero(budget, modules):
    import torchzero as tz

    x = torch.nn.Parameter(budget.start)
    optimizer = tz.Optimizer([x], *(getattr(tz.m, name)() for name in modules))

    def closure(backward=True):
        value = budget.value(x)
        if backward:
            optimizer.zero_grad()
            value.backward()
        return value

    while True:
        before = x.detach().clone()
        optimizer.step(closure)
        if torch.equal(before, x.detach()):
            return


LIBRARIES = ("scipy", "torch", "torchmin", "torchzero")
DEFAULT = "thalweg l-bfgs (default)"
OURS = {
    "l-bfgs (default)": thalweg,
    "newton-cg": partial(thalweg, direction="newton-cg"),
    "newton-cg, trust region": partial(thalweg, direction="newton-cg", search="trust-region"),
    "hessian-free": partial(thalweg, direction="hessian-free"),
    "levenberg-marquardt": partial(thalweg, direction="levenberg-marquardt"),
    "gauss-newton, trust region": partial(thalweg, direction="gauss-newton", search="trust-region"),
    "k-fac": partial(thalweg, direction="k-fac"),
}
THEIRS = {
    "torch LBFGS": torch_lbfgs,
    "scipy L-BFGS-B": scipy,
    "torchmin L-BFGS": partial(torchmin, method="l-bfgs", gtol=0.0, xtol=-1.0, gtd_tol=0.0),
    "torchmin Newton-CG": partial(torchmin, method="newton-cg", xtol=-1.0),
    "torchzero NewtonCG": partial(torchzero, modules=("NewtonCG", "Backtracking")),
    "torchzero Steihaug": partial(torchzero, modules=("NewtonCGSteihaug",)),
}


def measure(scale):
    most = MOST_QUICK if scale.quick else MOST
    seeds = range(1 if scale.quick else scale.seeds)
    head = ["", *(problem.title for problem in PROBLEMS)]
    section = Section("Full-batch training", WORDS.format(most=most), head)
    contestants = taking_part(scale.peers)
    found = {name: {} for name in contestants}
    for name, run in contestants.items():
        for problem in PROBLEMS:
            found[name][problem.title] = [spent(run, problem, seed, most) for seed in seeds]
        section.rows.append([name, *(cell(each) for each in found[name].values())])
    section.notes += [f"{problem.title}: {problem.target:g}" for problem in PROBLEMS]
    section.notes += absent([name for name in LIBRARIES if name in scale.peers])
    if not scale.quick:
        section.aims += aims(found)
    return section


def taking_part(peers):
    ours = {f"thalweg {name}": run for name, run in OURS.items()}
    libraries = {name for name in LIBRARIES if name in peers and has(name)}
    return ours | {name: run for name, run in THEIRS.items() if name.split()[0] in libraries}


def spent(run, problem, seed, most):
    """Gradients until the target; infinite if it was not reached, whatever was raised."""
    budget = Budget(problem, seed, most)
    with budget.counter, suppress(Over, ArithmeticError, RuntimeError, ValueError, IndexError):
        run(budget)
    return budget.spent_at


def cell(gradients):
    reached = sum(map(math.isfinite, gradients))
    middle = statistics.median(gradients)
    return f"{middle:.0f} ({reached})" if math.isfinite(middle) else f"– ({reached})"


def aims(found):
    """Of each problem, ours over the best of the others, by medians."""
    made = []
    for problem in (problem.title for problem in PROBLEMS):
        medians = {name: statistics.median(each[problem]) for name, each in found.items()}
        theirs = min((m for name, m in medians.items() if name in THEIRS), default=math.inf)
        mine = {name: m for name, m in medians.items() if name not in THEIRS}
        best = min(mine, key=mine.get)
        for words, value in (
            (f"{problem}: our default over the best of the others", mine[DEFAULT]),
            (f"{problem}: {best} over the best of the others", mine[best]),
        ):
            known = math.isfinite(theirs) and math.isfinite(value)
            made.append(Aim(words, value / theirs if known else None, 1.0, 2))
    return made
