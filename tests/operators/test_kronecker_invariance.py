"""Without damping, K-FAC's step does not depend on how a layer's inputs and outputs are measured.

Martens & Grosse (arXiv 1503.05671), theorem 1: the network whose layers are W = Phi W' Omega, with
invertible Phi and Omega, takes the same step as the network of W, as functions.
"""

import pytest
import torch
from torch.nn import functional as F

from thalweg.operators import EigenvalueCorrected, Kronecker


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def mixing(n, seed):
    """An invertible matrix, far from orthogonal."""
    return torch.eye(n).double() + 0.4 * draw(n, n, seed=seed)


INPUTS, TARGETS = draw(40, 3, seed=1), (draw(40, 2, seed=2) > 0).double()
W = {"w": draw(4, 4, seed=3), "v": draw(2, 5, seed=4)}  # the last columns are biases
PHI = {"w": mixing(4, 5), "v": mixing(2, 6)}
OMEGA = {"w": mixing(4, 7), "v": mixing(5, 8)}
PLAIN = (
    {name: torch.eye(len(p)).double() for name, p in PHI.items()},
    {name: torch.eye(len(p)).double() for name, p in OMEGA.items()},
)


def with_ones(x):
    return torch.cat([x, torch.ones(len(x), 1).double()], 1)


def net(params, phi, omega):
    """Layers phi W' omega, of which the program sees W' as a linear layer between two maps."""

    def layer(name, x):
        return F.linear(with_ones(x) @ omega[name].T, params[name]) @ phi[name].T

    return layer("v", torch.tanh(layer("w", INPUTS)))


def step(kind, phi, omega, damping=0.0):
    """The step in W, taken in W'."""
    primed = {
        name: torch.linalg.solve(phi[name], torch.linalg.solve(omega[name].T, w.T).T)
        for name, w in W.items()
    }
    loss = lambda z: F.binary_cross_entropy_with_logits(z, TARGETS)
    factors = kind(lambda p: net(p, phi, omega), loss, primed)
    found = factors.layout.unflatten(-factors.solve(factors.gradient, damping))
    return {name: phi[name] @ d @ omega[name] for name, d in found.items()}


def test_the_step_is_the_same_however_layers_are_measured():
    want, got = step(Kronecker, *PLAIN), step(Kronecker, PHI, OMEGA)
    for name, d in want.items():
        assert torch.allclose(got[name], d, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind, damping", [(Kronecker, 0.1), (EigenvalueCorrected, 0.0)])
def test_damping_and_corrected_eigenvalues_give_that_up(kind, damping):
    want, got = (step(kind, *by, damping=damping) for by in (PLAIN, (PHI, OMEGA)))
    assert not any(torch.allclose(got[name], d, rtol=0.01) for name, d in want.items())
