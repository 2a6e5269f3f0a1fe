"""Models that products get wrong or refuse: who gives the right one.

What is right comes from differences of gradients in float64 (`reference.by_differences`), which no
second derivative enters. For dropout the random state is set before each product, which is more
than a program would do; that a library's products differ from call to call without it is said.
"""

import torch
from section import Aim, Section
from torch import nn

from curving.networks import Attention, Problem, mlp
from curving.peers import OURS, absent, hessians, in_a_line
from curving.reference import by_differences, relative_error

RIGHT = 1e-7  # the differences' own error is a hundredth of it
SEED = 3
WORDS = f"""One batch in float64; "right" is a relative error below {RIGHT:.0e} against
differences of gradients, with buffers left as they were and the same product at each call."""


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = mlp((4, 6, 3)), nn.Linear(4, 2)

    def forward(self, x):
        return self.used(x)


class Tied(nn.Module):
    """A word's embedding is also its row of the output layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.inner = nn.Embedding(7, 5), nn.Linear(5, 5)

    def forward(self, words):
        return torch.tanh(self.inner(self.embedding(words))) @ self.embedding.weight.T


class Pooled(nn.Module):
    """A model of sequences, with classes of its mean."""

    def __init__(self, inner, width=8):
        super().__init__()
        self.inner, self.head = inner, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.inner(x).mean(1))


def frozen():
    model = mlp((4, 6, 6, 3))
    model[2].requires_grad_(False)
    return model


def encoder():
    return nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.0, batch_first=True)


def cases():
    """Models by what is demanding about them; all in train mode but one."""
    flat, sequences = torch.randn(12, 4), torch.randn(6, 5, 8)
    normalized = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    dropping = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Dropout(0.5), nn.Linear(9, 3))
    yield case("scaled dot-product attention", Pooled(Attention(8, 2)), sequences)
    yield case("TransformerEncoderLayer, train", Pooled(encoder()), sequences)
    yield case("TransformerEncoderLayer, eval", Pooled(encoder()).eval(), sequences)
    yield case("batch norm in train mode", normalized, flat)
    yield case("dropout", dropping, flat)
    yield case("unused parameter", Unused(), flat)
    yield case("tied parameters", Tied(), torch.randint(7, (12,)))
    yield case("frozen parameters", frozen(), flat)


def case(title, model, inputs):
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    targets = torch.randint(3, (len(inputs),))
    return Problem(title, model.double(), nn.CrossEntropyLoss(), [(inputs, targets)])


def measure(scale):
    torch.manual_seed(0)
    makers = hessians(scale.peers)
    section = Section("Models that ask for care", WORDS, ["", *makers])
    wrong = 0
    for problem in cases():
        vector = torch.randn(problem.size, dtype=torch.float64)
        right = by_differences(problem, vector, SEED)
        found = {name: verdict(make, problem, vector, right) for name, make in makers.items()}
        section.rows.append([problem.title, *(cell for cell, _ in found.values())])
        wrong += found[OURS][0] != "right"
        said = [f"{problem.title}, {name}: {why}" for name, (_, why) in found.items() if why]
        section.notes += said
    section.notes += absent(scale.peers)
    section.aims.append(Aim("all of ours right", wrong, 0, shown=f"{wrong} not"))
    return section


def verdict(make, problem, vector, right):
    """A word, and why."""
    own = problem.copied()
    try:
        torch.manual_seed(SEED)
        product = make(own)
        torch.manual_seed(SEED)
        found = product(vector)
        again = product(vector)
    except Exception as error:
        return "refused", in_a_line(error)
    return judged(relative_error(found, right), float((found - again).norm()), own, problem)


def judged(error, drift, own, problem):
    pairs = zip(own.model.buffers(), problem.model.buffers(), strict=True)
    kept = all(torch.equal(after, before) for after, before in pairs)
    if error > RIGHT:
        return "wrong", f"relative error {error:.2g}"
    if drift > RIGHT:
        return "unsteady", "the next product differs"
    return ("right", "") if kept else ("changes", "buffers are changed")
