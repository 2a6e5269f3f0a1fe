"""Layer blocks: against the dense matrix's own blocks, made one by one or cut out."""

import pytest
import torch
from networks import NETWORKS, mlp, normal, relative
from torch import nn
from torch.nn import functional as F

from thalweg.operators import (
    BlockDiagonal,
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    Hessian,
    Kronecker,
    Restricted,
    layers,
)

OPERATORS = [Hessian, GaussNewton, Fisher, EmpiricalFisher]


def masked(operator, groups):
    """The dense matrix with everything outside the blocks set to zero."""
    label = {name: number for number, names in enumerate(groups.values()) for name in names}
    sizes = [shape.numel() for shape in operator.layout.shapes]
    of_entry = torch.tensor([label[name] for name in operator.layout.names])
    of_entry = of_entry.repeat_interleave(torch.tensor(sizes))
    return operator.to_dense() * (of_entry[:, None] == of_entry[None, :])


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("cut", [False, True])
def test_is_the_dense_matrix_without_what_lies_outside(kind, cut):
    model, loss, data = mlp()
    whole, groups = kind.of_model(model, loss, data), layers(model)
    blocks = (
        BlockDiagonal.within(whole, groups)
        if cut
        else BlockDiagonal.of(lambda names: kind.of_model(model, loss, data, params=names), groups)
    )
    assert relative(blocks.to_dense(), masked(whole, groups)) < 1e-14
    v = normal(blocks.size)
    assert relative(blocks @ v, masked(whole, groups) @ v) < 1e-14
    assert blocks.layout == whole.layout
    assert blocks.facts == whole.facts
    assert blocks.loss == pytest.approx(whole.loss, rel=1e-14)
    torch.testing.assert_close(blocks.gradient, whole.gradient)
    torch.testing.assert_close(blocks.place, whole.place)


@pytest.mark.parametrize("name", ["tied", "frozen", "encoder_layer_in_eval_mode"])
def test_layers_cover_each_parameter_that_varies_once(name):
    model, loss, data = NETWORKS[name]()
    groups = layers(model)
    blocks = BlockDiagonal.of(
        lambda names: GaussNewton.of_model(model, loss, data, params=names), groups
    )
    whole = GaussNewton.of_model(model, loss, data)
    assert sorted(blocks.layout.names) == sorted(whole.layout.names)
    order = [whole.layout.names.index(n) for n in blocks.layout.names]
    assert order == sorted(order)
    assert relative(blocks.to_dense(), masked(whole, groups)) < 1e-13


def test_a_layer_that_the_loss_does_not_use_is_a_block_of_zeros():
    model, loss, data = NETWORKS["unused"]()
    groups = layers(model)
    blocks = BlockDiagonal.within(GaussNewton.of_model(model, loss, data), groups)
    assert groups[""] == ("idle",)
    assert torch.equal(blocks.blocks[""].to_dense(), torch.zeros(4, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="does not depend on params"):
        BlockDiagonal.of(
            lambda names: GaussNewton.of_model(model, loss, data, params=names), groups
        )


def test_layers_are_named_by_their_modules():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    model[2].bias.requires_grad_(False)
    assert layers(model) == {
        "": ("scale",),
        "0": ("0.weight", "0.bias"),
        "2": ("2.weight",),
    }


def test_blocks_in_another_order_and_not_all_of_them():
    model, loss, data = mlp()
    whole = Hessian.of_model(model, loss, data)
    groups = {"late": ["2.bias"], "early": ["0.bias", "0.weight"]}
    blocks = BlockDiagonal.within(whole, groups)
    dense = whole.to_dense()
    late, early = slice(40, 43), slice(0, 25)
    expected = torch.block_diag(dense[late, late], dense[early, early])
    assert blocks.layout.names == ("2.bias", "0.weight", "0.bias")
    assert relative(blocks.to_dense(), expected) < 1e-14
    assert relative(blocks.blocks["late"].to_dense(), dense[late, late]) < 1e-14


def test_a_restriction_moves_within_its_parameters():
    model, loss, data = mlp()
    whole = Hessian.of_model(model, loss, data)
    part = Restricted(whole, ["0.bias"])
    alone = Hessian.of_model(model, loss, data, params=["0.bias"])
    by = normal(5)
    assert part.loss_at(by) == pytest.approx(alone.loss_at(by), rel=1e-14)
    torch.testing.assert_close(part.gradient_at(by), alone.gradient_at(by))
    torch.testing.assert_close(part.place, alone.place)
    assert part.exact_diagonal() is None


def test_diagonals_are_joined_where_they_are_known():
    model, loss, data = mlp()
    whole = Kronecker.of_model(model, loss, data)
    blocks = BlockDiagonal.within(whole, layers(model))
    torch.testing.assert_close(blocks.exact_diagonal(), whole.to_dense().diagonal())
    assert (
        BlockDiagonal.within(Hessian.of_model(model, loss, data), layers(model)).exact_diagonal()
        is None
    )


def test_precisions_may_differ():
    params = {"a": torch.ones(2, dtype=torch.float32), "b": torch.ones(1, dtype=torch.float64)}
    whole = Hessian(lambda p: (p["a"].double() ** 2).sum() * p["b"].sum() ** 2, params)
    blocks = BlockDiagonal.within(whole, {"a": ["a"], "b": ["b"]})
    assert [part.dtype for part in blocks.blocks.values()] == [torch.float32, torch.float64]
    assert blocks.dtype == torch.float64
    assert blocks.to_dense().tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 4]]


def test_closing_a_restriction_leaves_the_operator_open():
    model, loss, data = mlp()
    whole = Hessian.of_model(model, loss, data)
    with BlockDiagonal.within(whole, layers(model)) as blocks:
        v = normal(blocks.size)
        before = whole @ v
    with pytest.raises(RuntimeError, match="Hessian @ v after close"):
        blocks @ v
    assert torch.equal(whole @ v, before)


def test_closing_blocks_closes_each():
    model, data = nn.Linear(2, 1), (torch.ones(3, 2), torch.ones(3, 1))
    part = GaussNewton.of_model(model, F.mse_loss, data)
    with BlockDiagonal({"only": part}) as blocks:
        assert blocks.held == part.held > 0
    with pytest.raises(RuntimeError, match="GaussNewton @ v after close"):
        part @ torch.ones(3)


def test_refuses():
    model, loss, data = mlp()
    whole = Hessian.of_model(model, loss, data)
    with pytest.raises(ValueError, match="there is no block"):
        BlockDiagonal({})
    with pytest.raises(ValueError, match=r"'0\.bias' is in blocks 'a' and 'b'"):
        BlockDiagonal.within(whole, {"a": ["0.bias"], "b": ["0.weight", "0.bias"]})
    with pytest.raises(ValueError, match=r"Hessian has no parameter '0\.wait'; it has 0\.weight"):
        Restricted(whole, ["0.wait"])
    with pytest.raises(ValueError, match="restricted to no parameter"):
        Restricted(whole, [])
