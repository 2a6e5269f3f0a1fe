"""What Kronecker factors refuse, and with what advice."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.operators import Kronecker


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


REFUSALS = {
    "couples samples": (
        lambda z: (z @ z.T).logsumexp((0, 1)), {}, ValueError, "couples samples"),
    "not convex": (lambda z: z.cos().sum(), {}, ValueError, "not convex"),
    "no scalar": (lambda z: z, {}, TypeError, "scalar"),
    "not finite": (lambda z: z.sum() / 0, {}, ValueError, "not finite"),
    "constant": (lambda z: z.detach().sum(), {}, ValueError, "does not depend"),
    "kind": (lambda z: z.square().sum(), {"kind": "mc"}, ValueError, "kind='mc'"),
    "sharing": (lambda z: z.square().sum(), {"sharing": "x"}, ValueError, "sharing='x'"),
    "draws": (lambda z: z.square().sum(), {"draws": 0}, ValueError, "draws=0"),
    "full": (lambda z: z.square().sum(), {"full": -1}, ValueError, "full=-1"),
    "precision": (
        lambda z: z.square().sum(), {"precision": torch.int32}, ValueError, "precision"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    loss, options, error, words = REFUSALS[case]
    x = torch.rand(4, 2)
    with pytest.raises(error, match=words):
        Kronecker(lambda p: F.linear(x, p["w"]), loss, {"w": torch.rand(3, 2) + 0.1}, **options)


def test_refuses_outputs_without_gradient_or_samples():
    params, x = {"w": torch.rand(3, 2)}, torch.rand(4, 2)
    with pytest.raises(ValueError, match="carries no gradient"):
        Kronecker(lambda p: x.sum(1), lambda z: z.sum(), params)
    with pytest.raises(ValueError, match="first axis"):
        Kronecker(lambda p: p["w"].sum(), lambda z: z.square(), params)


def test_refuses_losses_that_do_not_repeat_themselves():
    counts = iter(range(100))
    loss = lambda z, y: F.mse_loss(z, y) + next(counts)
    data = (torch.rand(4, 2), torch.rand(4, 3))
    with pytest.raises(ValueError, match="two evaluations"):
        Kronecker.of_model(nn.Linear(2, 3), loss, data)
    Kronecker.of_model(nn.Linear(2, 3), loss, data, check=False)


def test_refuses_models_that_use_a_parameter_in_another_way_in_the_next_batch():
    class Changing(nn.Linear):
        def forward(self, x):
            return super().forward(x) if len(x) == 4 else x @ self.weight.T + self.bias

    data = [(torch.rand(n, 2), torch.rand(n, 3)) for n in (4, 3)]
    with pytest.raises(ValueError, match="another way"):
        Kronecker.of_model(Changing(2, 3), F.mse_loss, data)


def test_overflow_is_named():
    model = nn.Linear(2, 3).float()
    data = (torch.full((4, 2), 1e30).float(), torch.zeros(4, 3).float())
    with pytest.raises(ValueError, match="not finite"):
        Kronecker.of_model(model, lambda z, y: z.sigmoid().square().sum(), data)
