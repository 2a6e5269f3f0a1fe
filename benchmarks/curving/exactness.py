"""Products against the dense Hessian, over batches the last of which is shorter."""

import torch
from section import Aim, Section, sure
from torch import nn

from curving.networks import Problem, mlp
from curving.peers import OURS, absent, hessians, in_a_line
from curving.reference import dense_hessian, relative_error

WORDS = """A perceptron of 244 parameters in float64, 100 samples in batches of 32, the last of
which has 4. The error is |HV - found| / |HV| over eight random vectors, H made densely of all
samples."""


def measure(scale):
    torch.manual_seed(0)
    problem = ragged()
    dense = dense_hessian(problem)
    vectors = torch.randn(problem.size, 8, dtype=torch.float64)
    errors, section = {}, Section("A product against the dense Hessian", WORDS, ["", "error"])
    for name, make in hessians(scale.peers).items():
        try:
            errors[name] = error_of(make(problem.copied()), vectors, dense @ vectors)
            section.rows.append([name, sure(errors[name])])
        except Exception as error:
            section.rows.append([name, "none"])
            section.notes.append(f"{name}: {in_a_line(error)}")
    section.notes += absent(scale.peers)
    words = "error of our product at most 1e-15"
    section.aims.append(Aim(words, errors.get(OURS), 1e-15, shown=sure(errors[OURS])))
    return section


def error_of(product, vectors, right):
    found = torch.stack([product(column) for column in vectors.unbind(1)], 1)
    return relative_error(found, right)


def ragged():
    """100 samples in batches of 32."""
    model = mlp((10, 12, 8), nn.Tanh).double()
    inputs = torch.randn(100, 10, dtype=torch.float64)
    targets = torch.randint(8, (100,))
    batches = list(zip(inputs.split(32), targets.split(32), strict=True))
    return Problem("MLP", model, nn.CrossEntropyLoss(), batches)
