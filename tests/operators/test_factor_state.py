"""Factors in a file, and back."""

import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.operators import EigenvalueCorrected, Kronecker


class Mixed(nn.Module):
    """Blocks of every kind: factored, of an embedding, full, diagonal; two precisions."""

    def __init__(self):
        super().__init__()
        self.rows, self.norm = nn.Embedding(5, 3), nn.LayerNorm(3)
        self.gain = nn.Parameter(torch.ones(3))
        self.layer, self.last = nn.Linear(3, 4), nn.Linear(4, 2).double()

    def forward(self, x):
        return self.last(torch.tanh(self.layer(self.norm(self.rows(x)) * self.gain)).double())


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("kind", [Kronecker, EigenvalueCorrected])
def test_factors_come_back_from_a_file(kind):
    torch.manual_seed(0)
    data = (torch.randint(5, (6,)), torch.randn(6, 2).double())
    operator = kind.of_model(Mixed(), F.mse_loss, data, full=4)
    assert set(operator.structure.values()) == {"Kronecker", "full", "diagonal"}
    state = operator.state_dict()
    back = kind.from_state_dict(through_a_file(state))
    assert torch.equal(back.to_dense(), operator.to_dense())
    assert torch.equal(back.inverse(0.1).to_dense(), operator.inverse(0.1).to_dense())
    assert torch.equal(back.gradient, operator.gradient)
    for name in ("loss", "layout", "structure", "uncovered", "facts", "held"):
        assert getattr(back, name) == getattr(operator, name)


def test_a_saved_state_is_a_copy_and_so_is_what_is_made_of_it():
    operator = Kronecker.of_model(nn.Linear(2, 2), F.mse_loss, (torch.ones(3, 2), torch.ones(3, 2)))
    state, before = operator.state_dict(), operator.to_dense()
    back = Kronecker.from_state_dict(state)
    for block in state["blocks"]:
        for tensor in block["tensors"].values():
            tensor.zero_()
    state["gradient"].zero_()
    for each in (operator, back):
        assert torch.equal(each.to_dense(), before)
        assert each.gradient.any()
