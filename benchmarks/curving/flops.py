"""What a product costs in multiplications, counted by PyTorch, in gradients."""

from contextlib import nullcontext

import torch
from section import Aim, Section
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from curving.networks import timed_problems
from curving.peers import OURS, absent, gauss_newtons, hessians, in_a_line

STEPS = 50
WORDS = f"""Floating-point operations over those of one gradient, as `torch.utils.flop_counter`
counts them. On the left those of one further product; on the right those of {STEPS} products
together with everything before them, each library's own checks included, divided by {STEPS}.
Every contestant runs under the attention kernel that has a second derivative."""

AIMS = {"Hessian": (2.0, 1), "Gauss-Newton": (1.33, 2)}  # at most, and the decimals that count


def measure(scale):
    problems = list(timed_problems(scale.quick))
    titles = [problem.title for problem in problems]
    head = ["", *titles, *(f"{title}, all {STEPS}" for title in titles)]
    section = Section("Operations of a product, in gradients", WORDS, head)
    makers = {"Hessian": hessians(scale.peers), "Gauss-Newton": gauss_newtons(scale.peers)}
    for kind, name in ((kind, name) for kind, all_of_it in makers.items() for name in all_of_it):
        who, make = f"{kind}, {name}", makers[kind][name]
        counted = [shares(make, problem, who, section) for problem in problems]
        section.rows.append([who, *cells(counted)])
        if name == OURS:
            section.aims.append(aim(kind, counted))
    section.notes += absent(scale.peers)
    return section


def cells(counted):
    return [f"{pair[i]:.2f}" if pair else "–" for i in (0, 1) for pair in counted]


def aim(kind, counted):
    most, decimals = AIMS[kind]
    worst = max(pair[0] for pair in counted)
    words = f"a further {kind} product takes at most {most} gradients"
    return Aim(words, worst, most, decimals, f"{worst:.2f}")


def shares(make, problem, who, section):
    """A further product, and the mean of all with what came before, in gradients; or a note."""
    own = problem.copied()
    try:
        with sdpa_kernel(SDPBackend.MATH):
            gradient = counted(lambda: one_gradient(own))[0]
            before, product = counted(lambda: make(own))
            each, _ = counted(lambda: product(torch.randn(own.size)))
    except Exception as error:
        section.notes.append(f"{who}, {problem.title}: {in_a_line(error)}")
        return None
    return each / gradient, (before / STEPS + each) / gradient


def one_gradient(problem):
    ((inputs, targets),) = problem.data
    value = problem.loss(problem.model(inputs), targets)
    return torch.autograd.grad(value, problem.parameters)


class NoModules(nullcontext):
    """Stands in for the counter's hooks on modules, which some libraries' transforms refuse."""

    parents = frozenset({"Global"})


def counted(work):
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = NoModules()
    with counter:
        result = work()
    return counter.get_total_flops(), result
