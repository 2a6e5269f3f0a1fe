"""K-FAC in float64: trace, distance from the dense Fisher, and the inverse applied.

Every library's matrix is compared with one that is built from its definition, by loops over samples
and classes, and with the dense Fisher, which three of the figures are of.
"""

from dataclasses import dataclass

import torch
from section import Aim, Section, sure
from torch import nn
from torch.func import functional_call, jacrev

from solving.peers import absent, has
from thalweg.operators import EigenvalueCorrected, Kronecker

WORDS = """Three networks in float64 under cross entropy, 24 samples in batches of 16 and 8, the
exact expectation over classes. The yardstick is the factors' product of each layer, built densely
by loops over samples, and the dense Fisher F, by loops too. Figures are relative errors: of the
trace; of the Frobenius distance |K - F|; of the inverse applied to a random vector, with damping
added to the eigenvalues (exact) and split between the factors (pi; Martens & Grosse, 2015, section
6.3). A dash is what a library does not have."""
HEAD = ["", "network", "trace", "distance", "inverse, exact", "inverse, pi"]
DAMPING = 0.01
AIM = 1e-10


@dataclass(frozen=True)
class Case:
    model: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor

    @property
    def batches(self):
        return list(zip(self.inputs.split(16), self.targets.split(16), strict=True))

    @property
    def layers(self):
        return [layer for layer in self.model if isinstance(layer, (nn.Linear, nn.Conv2d))]


def case(model, *shape):
    torch.manual_seed(0)
    return Case(model().double(), torch.randn(24, *shape).double(), torch.randint(4, (24,)))


CASES = {
    "perceptron": lambda: case(
        lambda: nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), last()), 6
    ),
    "convolutions": lambda: case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 2, 2), nn.Tanh(),
            nn.Flatten(), nn.Linear(8, 4)
        ), 2, 6, 6
    ),
    "saturated": lambda: case(
        lambda: nn.Sequential(Times(30.0), nn.Linear(6, 5), nn.Sigmoid(), last()), 6
    ),
}  # fmt: skip


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def last():
    return nn.Linear(5, 4)


# The yardsticks: nothing of ours in them.


def columns_of(logits):
    """The square root of the classes' covariance, a column a class: sqrt(p_c) (e_c - p)."""
    p = logits.softmax(0)
    return p.sqrt() * (torch.eye(len(p)).double() - p[:, None])


def dense_fisher(given):
    """E[g g'] over the classes that the model predicts, summed sample by sample."""
    params = {name: p.detach() for name, p in given.model.named_parameters()}
    total = 0
    for x in given.inputs:
        rows = jacrev(lambda p, x=x: functional_call(given.model, p, (x[None],))[0])(params)
        jacobian = torch.cat([row.reshape(4, -1) for row in rows.values()], 1)
        g = jacobian.T @ columns_of(given.model(x[None])[0].detach())
        total = total + g @ g.T / len(given.inputs)
    return total


def factors(given, layer):
    """E[a a'] over samples and places, and the sum over places of E[g g']."""
    left, right, count = 0, 0, 0
    for x in given.inputs:
        seen = {}
        handle = layer.register_forward_hook(lambda _, a, z, seen=seen: seen.update(a=a[0], z=z))
        logits = given.model(x[None])[0]
        handle.remove()
        a = places(layer, seen["a"].detach())
        right, count = right + a.T @ a, count + len(a)
        for column in columns_of(logits.detach()).T:
            (g,) = torch.autograd.grad(logits, seen["z"], column, retain_graph=True)
            g = g[0].reshape(g.shape[1], -1).T
            left = left + g.T @ g / len(given.inputs)
    return left, right / count


def places(layer, a):
    """What a layer sees at each place, with a 1 for its bias."""
    if isinstance(layer, nn.Conv2d):
        options = {"stride": layer.stride, "padding": layer.padding}
        a = nn.functional.unfold(a, layer.kernel_size, **options)[0].T
    return torch.cat([a, torch.ones(len(a), 1).double()], 1)


def spread(left, right):
    """left (x) right with a weight's numbers before its bias's."""
    p, q = len(left), len(right)
    place = torch.arange(p * q).reshape(p, q)
    order = torch.cat([place[:, :-1].reshape(-1), place[:, -1]])
    return torch.kron(left, right)[order][:, order]


def pi_damped(left, right):
    """Each factor with its share of the damping."""
    pi = ((right.trace() / len(right)) / (left.trace() / len(left))).sqrt()
    left = left + DAMPING**0.5 / pi * torch.eye(len(left)).double()
    return left, right + DAMPING**0.5 * pi * torch.eye(len(right)).double()


@dataclass(frozen=True)
class Figures:
    """What is compared; None for what a library does not have."""

    trace: float
    distance: float
    exact: torch.Tensor | None
    pi: torch.Tensor | None

    def errors(self, of):
        pairs = zip(vars(of).values(), vars(self).values(), strict=True)
        return [None if x is None else relative(x, want) for x, want in pairs]


def relative(found, wanted):
    found, wanted = (torch.as_tensor(x, dtype=torch.float64) for x in (found, wanted))
    return float((found - wanted).norm() / wanted.norm())


def by_definition(given, fisher, v):
    found = [factors(given, layer) for layer in given.layers]
    k = torch.block_diag(*(spread(*each) for each in found))
    split = torch.block_diag(*(spread(*pi_damped(*each)) for each in found))
    return Figures(
        float(k.trace()),
        float((k - fisher).norm()),
        torch.linalg.solve(k + DAMPING * torch.eye(len(k)).double(), v),
        torch.linalg.solve(split, v),
    )


# The libraries.


def ours(given, fisher, v):
    k = Kronecker.of_model(given.model, nn.CrossEntropyLoss(), given.batches)
    distance = float((k.to_dense() - fisher).norm())
    split = k.solve(v, DAMPING, split="factored")
    return Figures(k.trace(), distance, k.solve(v, DAMPING), split)


def curvlinops(given, fisher, v):
    from curvlinops import KFACInverseLinearOperator, KFACLinearOperator

    params = list(given.model.parameters())
    k = KFACLinearOperator(
        given.model,
        nn.CrossEntropyLoss(),
        params,
        given.batches,
        fisher_type="type-2",
        separate_weight_and_bias=False,
    )
    distance = float((k @ torch.eye(len(v)).double() - fisher).norm())
    exact = KFACInverseLinearOperator(k, DAMPING, use_exact_damping=True) @ v
    split = KFACInverseLinearOperator(k, DAMPING, use_heuristic_damping=True) @ v
    return Figures(float(k.trace), distance, exact, split)


def nngeometry(given, fisher, v):
    from nngeometry.layercollection import LayerCollection
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatKFAC
    from nngeometry.object.vector import PVector
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(given.inputs, given.targets), batch_size=16)
    k = FIM(given.model, loader, representation=PMatKFAC, variant="classif_logits", device="cpu")
    layers = LayerCollection.from_model(given.model)
    solved = k.solve(PVector(layers, vector_repr=v), regul=DAMPING)
    distance = float((k.to_torch() - fisher).norm())
    return Figures(float(k.trace()), distance, None, solved.to_torch())


LIBRARIES = {"thalweg": ours, "curvlinops": curvlinops, "nngeometry": nngeometry}


def measure(scale):
    section = Section("K-FAC against the dense Fisher", WORDS, HEAD)
    names = [name for name in LIBRARIES if takes_part(name, scale.peers)]
    worst, traces = 0.0, 0.0
    for network, make in CASES.items():
        given = make()
        fisher = dense_fisher(given)
        v = torch.randn(len(fisher), generator=torch.Generator().manual_seed(1)).double()
        wanted = by_definition(given, fisher, v)
        for name in names:
            row = errors_of(LIBRARIES[name], given, fisher, v, wanted)
            section.rows.append([name, network, *map(shown, row)])
            worst = max(worst, *row) if name == "thalweg" else worst
        corrected = EigenvalueCorrected.of_model(given.model, nn.CrossEntropyLoss(), given.batches)
        traces = max(traces, relative(corrected.trace(), fisher.trace()))
    section.notes += absent([n for n in LIBRARIES if n != "thalweg" and n in scale.peers])
    section.aims += [
        Aim("K-FAC: the largest of our errors", worst, AIM, shown=sure(worst)),
        Aim("EKFAC: error of the trace, against the dense Fisher's", traces, AIM,
            shown=sure(traces)),
    ]  # fmt: skip
    return section


def errors_of(library, given, fisher, v, wanted):
    """On float64 throughout, which some libraries take from PyTorch's default."""
    torch.set_default_dtype(torch.float64)
    try:
        return wanted.errors(library(given, fisher, v))
    finally:
        torch.set_default_dtype(torch.float32)


def shown(error):
    return "–" if error is None else sure(error)


def takes_part(name, peers):
    return name == "thalweg" or (name in peers and has(name))
