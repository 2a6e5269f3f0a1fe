"""What a step of L-BFGS takes beside the loss and its gradient."""

import statistics

import torch
from section import Aim, Section
from stepping import clocks

from thalweg.minimize import Objective
from thalweg.minimize.directions.limited_memory import LBFGS
from thalweg.minimize.loop import Loop
from thalweg.minimize.searches import StrongWolfe

MEMORY, STEPS = 10, 4  # pairs; steps between two looks at the clock
SIZES = {"float32": 25_000_000, "float64": 12_500_000}
QUICK = 100_000
WORDS = """Milliseconds of a step of L-BFGS with {memory} pairs, less those of the loss and its
gradient, on the quadratic with curvatures from 1 to 1000; medians over {turns} turns of {steps}
steps, in each of which all take their turn. One thread. A step is one evaluation where the first
trial is accepted, and our search accepts as PyTorch's does. On the right ours over theirs, the
median of the turns' ratios."""


class Quadratic:
    """a'x^2 / 2 with its gradient, and the time that they take."""

    def __init__(self, size, dtype):
        self.a = torch.logspace(0, 3, size, dtype=dtype)
        self.start = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=dtype)
        self.seconds = 0.0

    def __call__(self, x):
        begun = clocks.now()
        gradient = self.a * x
        value = torch.dot(gradient, x) / 2
        self.seconds += clocks.now() - begun
        return value, gradient


class Ours:
    def __init__(self, size, dtype):
        self.loss = Quadratic(size, dtype)
        objective = Objective(self.loss, self.loss.start, gives_gradient=True)
        start = self.loss.start.clone()
        self.loop = Loop(objective, start, LBFGS(MEMORY), StrongWolfe(), 10**9)

    def steps(self, count):
        for _ in range(count):
            self.loop.step()


class Theirs:
    def __init__(self, size, dtype, search):
        self.loss = Quadratic(size, dtype)
        self.x = torch.nn.Parameter(self.loss.start.clone())
        endless = {"max_eval": 10**9, "tolerance_grad": 0.0, "tolerance_change": 0.0}
        self.optimizer = torch.optim.LBFGS(
            [self.x], history_size=MEMORY, line_search_fn=search, **endless
        )

    def closure(self):
        value, self.x.grad = self.loss(self.x.detach())
        return value

    def steps(self, count):
        """In one call, which asks once for the loss before them."""
        self.optimizer.param_groups[0]["max_iter"] = count
        self.optimizer.step(self.closure)


CONTESTANTS = {
    "thalweg LBFGS, StrongWolfe": Ours,
    "torch LBFGS, strong_wolfe": lambda *size: Theirs(*size, "strong_wolfe"),
    "torch LBFGS, no search": lambda *size: Theirs(*size, None),
}
MINE, RIVAL, BARE = CONTESTANTS
# As stated of a step beside PyTorch's; its bare steps search for nothing.
AIM = 0.7


def measure(scale):
    words = WORDS.format(memory=MEMORY, turns=scale.turns, steps=STEPS)
    head = ["", *SIZES, *(f"{dtype}, ours over it" for dtype in SIZES)]
    section = Section("Arithmetic of a step", words, head)
    sizes = dict.fromkeys(SIZES, QUICK) if scale.quick else SIZES
    taken = {
        dtype: seconds(size, getattr(torch, dtype), scale.turns) for dtype, size in sizes.items()
    }
    for name in CONTESTANTS:
        times = [f"{1e3 * statistics.median(each[name]):.0f}" for each in taken.values()]
        shares = [f"{ratio(each, name):.2f}" for each in taken.values()]
        section.rows.append([name, *times, *(["–"] * len(SIZES) if name == MINE else shares)])
    section.notes += [f"{dtype}: {size:,} parameters" for dtype, size in sizes.items()]
    if scale.quick:
        return section
    section.aims += [
        Aim(f"{dtype}: a step over one of {rival}", ratio(each, rival), AIM, 2)
        for dtype, each in taken.items()
        for rival in (RIVAL, BARE)
    ]
    return section


def seconds(size, dtype, turns):
    """Of a step's own arithmetic, one for each turn, once the memory is full."""
    running = {name: make(size, dtype) for name, make in CONTESTANTS.items()}
    for contestant in running.values():
        contestant.steps(MEMORY + 2)
    found = {name: [] for name in running}
    for _ in range(turns):
        for name, contestant in running.items():
            found[name].append(own_seconds(contestant) / STEPS)
    return found


def own_seconds(contestant):
    contestant.loss.seconds = 0.0
    return clocks.seconds(lambda: contestant.steps(STEPS)) - contestant.loss.seconds


def ratio(taken, name):
    pairs = zip(taken[MINE], taken[name], strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)
