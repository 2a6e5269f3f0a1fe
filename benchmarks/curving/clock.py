"""What a product costs by the clock, in gradients."""

import math
import statistics

import torch
from section import Aim, Section
from stepping import clocks
from torch.nn.attention import SDPBackend, sdpa_kernel

from curving.flops import one_gradient
from curving.networks import timed_problems
from curving.peers import OURS, absent, hessians, in_a_line, our_fastest

WORDS = """Everyone takes turns with the gradient, and an entry is the median over turns of the
ratio within a turn. MLP: 784-512-512-10, batch 256; ResNet-20: batch 32, evaluation mode; GPT: 2
layers of width 128, batch 16, 64 tokens. Every contestant runs under the attention kernel that
has a second derivative."""

FASTEST = f'{OURS}, way="auto"'
AIMS = {"MLP": 1.8, "ResNet-20": 2.7, "GPT": 2.0}


def measure(scale):
    section = Section("A product by the clock, in gradients", WORDS, [""])
    columns = {}
    for problem in timed_problems(scale.quick):
        columns[problem.title] = ratios(problem, scale, section)
        ours = columns[problem.title].get(FASTEST, math.nan)
        words = f"{problem.title}: our product takes at most {AIMS[problem.title]} gradients"
        value = None if scale.quick or math.isnan(ours) else ours
        section.aims.append(Aim(words, value, AIMS[problem.title], 1, f"{ours:.2f}"))
    section.head += columns
    for name in contestants(scale.peers):
        found = [column.get(name) for column in columns.values()]
        section.rows.append([name, *("–" if x is None else f"{x:.2f}" for x in found)])
    section.notes += absent(scale.peers)
    return section


def contestants(names):
    """Makers of products: ours by default, and by the fastest way; then the others."""
    first, *others = hessians(names).items()
    return dict([first, (FASTEST, our_fastest), *others])


def ratios(problem, scale, section):
    """Each library's time over the gradient's."""
    with sdpa_kernel(SDPBackend.MATH):
        works = {"gradient": lambda: one_gradient(problem)}
        for name, make in contestants(scale.peers).items():
            try:
                works[name] = ready(make, problem.copied())
            except Exception as error:
                section.notes.append(f"{name}, {problem.title}: {in_a_line(error)}")
        return interleaved(works, scale.turns)


def ready(make, problem):
    """Its product with some vector, after the first two."""
    product, vector = make(problem), torch.randn(problem.size)
    for _ in range(2):
        product(vector)
    return lambda: product(vector)


def interleaved(works, turns):
    for work in works.values():
        work()
    with clocks.quiet_collector():
        seen = [{name: clocks.seconds(work) for name, work in works.items()} for _ in range(turns)]
    return {
        name: statistics.median(turn[name] / turn["gradient"] for turn in seen)
        for name in works
        if name != "gradient"
    }
