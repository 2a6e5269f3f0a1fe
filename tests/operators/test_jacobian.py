"""The Jacobian of a model's output, against its rows one by one."""

import pytest
import torch
from jacobian_references import dense_jacobian, flat, output_of, varying
from networks import NETWORKS, mlp, normal, relative, trainable
from torch import nn

from thalweg.operators import Jacobian

RANDOM = {"dropout_in_train_mode", "encoder_layer_in_train_mode"}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_batch_against_its_rows(name):
    model, _, batches = NETWORKS[name]()
    state = torch.get_rng_state()
    jacobian = Jacobian.of_model(model, [batches[0]])
    torch.set_rng_state(state)
    expected = dense_jacobian(output_of(model, batches[0]), trainable(model))
    assert jacobian.shape == expected.shape
    assert relative(jacobian.to_dense(), expected) < 1e-13
    assert relative(jacobian.T.to_dense(), expected.T) < 1e-13


STACKED = [
    ("mlp", None),
    *((name, 0) for name in sorted(set(NETWORKS) - RANDOM)),
]


@pytest.mark.parametrize(("name", "memory"), STACKED)
def test_batches_lie_one_below_the_other(name, memory):
    model, _, batches = NETWORKS[name]()
    params = trainable(model)
    jacobian = Jacobian.of_model(model, batches, memory=memory)
    expected = torch.cat([dense_jacobian(output_of(model, batch), params) for batch in batches])
    value = torch.cat([flat(varying(output_of(model, b)(params))).detach() for b in batches])
    torch.testing.assert_close(jacobian.value, value)
    assert jacobian.shape == expected.shape
    u, v = normal(expected.shape[0], 2), normal(expected.shape[1], 2)
    assert relative(jacobian @ v, expected @ v) < 1e-13
    assert relative(jacobian @ v[:, 0], expected @ v[:, 0]) < 1e-13
    assert relative(jacobian.T @ u, expected.T @ u) < 1e-13
    assert relative(jacobian.T @ u[:, 0], expected.T @ u[:, 0]) < 1e-13


def test_as_many_batches_as_fit_are_kept():
    model, _, batches = mlp()
    all_kept = Jacobian.of_model(model, batches)
    one = Jacobian.of_model(model, batches[0])
    one.prepare()
    assert all_kept.held > 2 * one.held > 0
    some_kept = Jacobian.of_model(model, batches, memory=one.held)
    assert some_kept.held == one.held
    assert torch.equal(some_kept.to_dense(), all_kept.to_dense())
    assert torch.equal(some_kept.T.to_dense(), all_kept.T.to_dense())
    assert Jacobian.of_model(model, batches, memory=one.held - 1).held == 0


def test_a_subset_has_its_columns():
    model, _, batches = mlp()
    whole = Jacobian.of_model(model, batches).to_dense()
    part = Jacobian.of_model(model, batches, params=["0.bias"]).to_dense()
    assert torch.equal(part, whole[:, 20:25])


def test_targets_are_not_needed():
    model = nn.Linear(2, 1).double()
    x = normal(3, 2)
    jacobian = Jacobian.of_model(model, (x, None))
    assert torch.equal(jacobian.to_dense(), torch.cat([x, torch.ones_like(x[:, :1])], 1))
    assert repr(jacobian) == "<Jacobian 3 x 3, torch.float64>"


def test_outputs_that_are_constant_have_no_rows():
    jacobian = Jacobian(
        lambda p: {"a": p["w"] ** 2, "b": torch.ones(5), "c": "text", "d": 3 * p["w"][0]},
        {"w": normal(2)},
    )
    assert jacobian.shape == (3, 2)
    assert jacobian.outputs.shapes == (torch.Size([2]), torch.Size([]))


def test_an_output_in_another_precision():
    w = normal(2).float()
    jacobian = Jacobian(lambda p: p["w"].double() ** 2, {"w": w})
    assert jacobian.dtype == torch.float64
    dense = jacobian.to_dense()
    assert torch.equal(dense, torch.diag(2 * w.double()))
    assert (jacobian.T @ normal(2)).dtype == torch.float64


def test_leaves_the_model_alone():
    model, _, batches = NETWORKS["convolution_and_batch_norm_in_train_mode"]()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    before = torch.get_rng_state()
    Jacobian.of_model(model, batches, memory=0).to_dense()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("several", [False, True])
def test_close_frees_and_refuses(several):
    model, _, batches = mlp()
    with Jacobian.of_model(model, batches if several else batches[0]) as jacobian:
        jacobian @ normal(jacobian.shape[1])
        assert jacobian.held > 0
    assert jacobian.held == 0
    with pytest.raises(RuntimeError, match="Jacobian @ v after close"):
        jacobian @ normal(jacobian.shape[1])
    with pytest.raises(RuntimeError, match="Jacobian @ v after close"):
        jacobian.T @ normal(jacobian.shape[0])
    assert len(jacobian.value) == jacobian.shape[0]


def test_refuses_an_output_without_parameters():
    with pytest.raises(ValueError, match=r"Jacobian: output\(params\) does not depend on params"):
        Jacobian(lambda p: torch.ones(2), {"w": torch.ones(2)})
