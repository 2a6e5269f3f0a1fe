"""Pruning of whole models: masks, patterns, layers' curvature, and what is kept of the accuracy."""

import copy

import pytest
import torch
from quadratics import constrained
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune as torch_prune

from thalweg.operators import Kronecker
from thalweg.pruning import METHODS, cubic, curve, prune
from thalweg.pruning.layer_inputs import input_hessian
from thalweg.pruning.layers import Layer
from thalweg.pruning.pattern import Pattern

every_method = pytest.mark.parametrize("method", METHODS)
DATA = torch.randn(40, 8, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 4


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))


def pruned(method, model=None, sparsity=0.5, **options):
    options = {"rounds": 2} | options
    return prune(net() if model is None else model, sparsity, method, data=DATA, **options)


def masks(model):
    return {
        path: module.weight_mask.bool().reshape(module.weight.shape[0], -1)
        for path, module in model.named_modules()
        if hasattr(module, "weight_mask")
    }


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", (4, 1), (2, 2)], ids=str)
@every_method
def test_the_pattern_and_the_sparsity_are_reached(method, pattern):
    found = pruned(method, pattern=pattern)
    assert found.sparsity == 0.5
    assert all(Pattern.of(pattern).holds(mask) for mask in masks(found.model).values())
    assert found.zeros == {path: int((~m).sum()) for path, m in masks(found.model).items()}


@every_method
def test_masks_are_torchs_own(method):
    found = pruned(method)
    assert torch_prune.is_pruned(found.model)
    before = found.model(DATA[0])
    model = found.make_permanent()
    assert not torch_prune.is_pruned(model)
    assert sorted(model.state_dict()) == sorted(net().state_dict())
    assert int((model[0].weight == 0).sum() + (model[2].weight == 0).sum()) == 48
    assert torch.equal(model(DATA[0]), before)


@every_method
def test_what_was_pruned_before_stays_and_counts(method):
    first = pruned(method, sparsity=0.25)
    before = masks(first.model)
    again = pruned(method, first.model, sparsity=0.5)
    assert again.sparsity == 0.5
    for path, mask in masks(again.model).items():
        assert not (mask & ~before[path]).any()


@pytest.mark.parametrize("method", ["magnitude", "brain-damage", "brain-surgeon", "kronecker"])
def test_layer_by_layer_each_has_the_sparsity(method):
    assert set(pruned(method, scope="layer").zeros.values()) == {32, 16}


@pytest.mark.parametrize("method", ["brain-surgeon", "kronecker", "optimal-compression"])
def test_without_compensation_what_stays_is_as_it_was(method):
    found = pruned(method, compensate=False).make_permanent()
    for name, param in found.named_parameters():
        kept = param != 0
        assert torch.equal(param[kept], net().state_dict()[name][kept])


def line():
    """A linear layer in float64 and its data, whose loss is quadratic in it."""
    torch.manual_seed(3)
    inputs = torch.randn(30, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    return nn.Linear(6, 3).double(), (inputs, torch.zeros(30, 3, dtype=torch.float64))


def by_hand(model, inputs, damping):
    """Hessian of the mean squared change of outputs, from the rows' own, weights before biases."""
    extended = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], 1)
    shared = 2 * extended.T @ extended / (len(inputs) * 3)
    dense = torch.kron(torch.eye(3, dtype=torch.float64), shared)
    order = [7 * r + c for r in range(3) for c in range(6)] + [7 * r + 6 for r in range(3)]
    dense = dense[order][:, order]
    return dense + damping * dense.diagonal().mean() * torch.eye(21, dtype=torch.float64)


@pytest.mark.parametrize("method", ["brain-surgeon", "kronecker"])
def test_what_is_left_of_a_linear_layer_is_the_constrained_minimum(method):
    model, data = line()
    place = torch.cat([model.weight.detach().reshape(-1), model.bias.detach()])
    hessian = by_hand(model, data[0], 0.05)
    found = prune(model, 0.5, method, data=data, rounds=1, damping=0.05).make_permanent()
    left = torch.cat([found.weight.detach().reshape(-1), found.bias.detach()])
    wanted, _ = constrained(hessian, place, left == 0)
    torch.testing.assert_close(left, wanted, rtol=0, atol=1e-5)


def test_kronecker_factors_choose_as_the_matrix_that_they_stand_for():
    model, data = net().double(), (DATA[0].double(), DATA[1])
    loss = nn.CrossEntropyLoss()
    operator = Kronecker.of_model(model, loss, data)
    dense = operator.to_dense()
    dense += 0.01 * dense.diagonal().mean() * torch.eye(len(dense), dtype=torch.float64)
    place = operator.layout.flatten({n: p.detach() for n, p in model.named_parameters()})
    saliency = place.square() / (2 * torch.linalg.inv(dense).diagonal())
    weights = torch.cat([torch.arange(64), 72 + torch.arange(32)])
    gone = torch.zeros(len(place), dtype=torch.bool)
    gone[weights[saliency[weights].argsort()[:48]]] = True
    found = prune(model, 0.5, "kronecker", loss=loss, data=data, rounds=1).make_permanent()
    left = operator.layout.flatten({n: p.detach() for n, p in found.named_parameters()})
    assert torch.equal(left == 0, gone)
    torch.testing.assert_close(left, constrained(dense, place, gone)[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["hessian", "gauss-newton"])
def test_brain_damage_takes_half_the_curvature_times_the_square(kind):
    model, data = net().double(), (DATA[0].double(), DATA[1])
    weight = model[2].weight.detach().clone()
    hidden = model[:2](data[0]).detach()
    dense = torch.autograd.functional.hessian(
        lambda w: nn.functional.cross_entropy(hidden @ w.T + model[2].bias.detach(), data[1]),
        weight,
    )  # of the last layer, where Hessian and Gauss-Newton matrix are one
    saliency = dense.reshape(32, 32).diagonal() * weight.reshape(-1).square() / 2
    options = {"loss": nn.CrossEntropyLoss(), "data": data, "layers": ["2"], "curvature": kind}
    found = prune(model, 0.5, "brain-damage", **options)
    gone = (~masks(found.model)["2"]).reshape(-1).nonzero().squeeze(1).tolist()
    assert sorted(gone) == sorted(saliency.argsort()[:16].tolist())


CONVOLUTIONS = {
    "linear": (nn.Linear(5, 4), (7, 3, 5)),
    "no bias": (nn.Linear(5, 4, bias=False), (7, 5)),
    "convolution": (nn.Conv2d(2, 4, 3, padding=1), (3, 2, 5, 6)),
    "strided, dilated": (nn.Conv2d(2, 4, (3, 2), stride=2, dilation=(1, 2)), (3, 2, 8, 9)),
    "groups": (nn.Conv1d(4, 6, 3, groups=2, padding="same"), (3, 4, 7)),
    "reflected": (nn.Conv1d(2, 3, 3, padding=2, padding_mode="reflect"), (3, 2, 7)),
    "three axes": (nn.Conv3d(1, 2, 2), (2, 1, 3, 4, 3)),
}


@pytest.mark.parametrize("module, shape", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_layers_curvature_is_what_its_outputs_change_by(module, shape):
    torch.manual_seed(0)
    module, x = copy.deepcopy(module).double(), torch.randn(shape, dtype=torch.float64)
    layer, before = Layer("", module), module(x).detach()
    hessian = input_hessian(module, layer, (x, torch.zeros(len(x))))
    steps = {n: torch.randn_like(p) for n, p in module.named_parameters()}
    with torch.no_grad():
        for name, param in module.named_parameters():
            param += steps[name]
    channel = -1 if isinstance(module, nn.Linear) else 1
    changed = (module(x) - before).movedim(channel, 0).reshape(len(steps["weight"]), -1)
    rows = steps["weight"].reshape(layer.shape)
    if "bias" in steps:
        rows = torch.cat([rows, steps["bias"].unsqueeze(1)], 1)
    parts = rows.reshape(layer.groups, -1, rows.shape[1])
    wanted = torch.einsum("gri,gij,grj->gr", parts, hessian, parts).reshape(-1) / 2
    torch.testing.assert_close(changed.square().mean(1), wanted)


@pytest.mark.parametrize("method", ["optimal-compression", "sparse-gpt"])
def test_convolutions_in_groups_are_pruned(method):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 2, groups=2), nn.Flatten(), nn.Linear(8, 4)
    )
    found = prune(model, 0.5, method, data=(torch.randn(20, 2, 4, 4), torch.zeros(20)))
    assert found.sparsity == 0.5


def test_the_schedule_is_zhu_and_guptas():
    assert cubic(0.0, 0.8, 4) == pytest.approx([0.4625, 0.7, 0.7875, 0.8])
    assert cubic(0.5, 0.8, 1) == [0.8]


def test_between_rounds_a_masked_model_may_be_trained():
    seen = []

    def train(model):
        seen.append(sum(int((~mask).sum()) for mask in masks(model).values()))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        nn.functional.cross_entropy(model(DATA[0]), DATA[1]).backward()
        optimizer.step()

    found = pruned("magnitude", rounds=3, fine_tune=train)
    assert seen == [round(s * 96) for s in cubic(0.0, 0.5, 3)]
    assert found.sparsity == 0.5


@every_method
def test_where_nothing_goes_nothing_changes(method):
    found = pruned(method, sparsity=0.0).make_permanent()
    assert all(torch.equal(found.state_dict()[n], p) for n, p in net().state_dict().items())


def test_a_curve_leaves_the_model_alone():
    model = net()
    found = curve(model, lambda m: float(m[0].weight.abs().sum().detach()), [0.0, 0.5], data=DATA)
    assert [(p.method, p.sparsity) for p in found] == [
        ("magnitude", 0.0),
        ("magnitude", 0.5),
        ("brain-surgeon", 0.0),
        ("brain-surgeon", 0.5),
    ]
    assert found[0].value == pytest.approx(float(net()[0].weight.abs().sum().detach()))
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), net().parameters(), strict=True)
    )


MISTAKES = {
    "no sparsity": ({"sparsity": None}, "give the share of zeros, in"),
    "all of it": ({"sparsity": 1.0}, "give the share of zeros, in"),
    "another sparsity than the pattern's": (
        {"sparsity": 0.6, "pattern": "2:4"},
        "2:4 is a sparsity of 0.5",
    ),
    "method": ({"method": "obs"}, "choose one of magnitude, brain-damage"),
    "no data": ({"data": None}, "give data="),
    "scope": ({"scope": "block"}, 'choose "network" or "layer"'),
    "layers compared": ({"method": "sparse-gpt", "scope": "network"}, "cannot be compared"),
    "curvature": ({"curvature": "fisher"}, 'choose "gauss-newton" or "hessian"'),
    "damping": ({"damping": 0.0}, "give a positive share"),
    "rounds": ({"rounds": 0}, "give at least 1"),
    "no such layer": ({"layers": ["3"]}, "the model has no '3'; it has 0, 2"),
    "pattern of a layer": ({"layers": ["0"], "pattern": (3, 1)}, "'0' cannot have it"),
    "pattern of all": ({"pattern": (3, 1)}, "no layer can be pruned: '0': its matrix of 8 x 8"),
}


@pytest.mark.parametrize("change, says", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_said(change, says):
    options = {"sparsity": 0.5, "data": DATA} | change
    with pytest.raises(ValueError, match=says):
        prune(net(), **options)


def test_a_module_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="'1' is a Tanh"):
        prune(net(), 0.5, "magnitude", layers=["1"])


def test_a_network_too_large_for_its_inverse_is_refused():
    with pytest.raises(ValueError, match=r'Take method="kronecker"'):
        prune(nn.Linear(100, 100), 0.5, data=(torch.zeros(2, 100), torch.zeros(2)))


def test_layers_that_the_pattern_does_not_fit_are_left_out():
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4))
    found = prune(model, method="magnitude", pattern="2:4")
    assert (set(found.zeros), found.left_out) == ({"0"}, ("1",))


def digits(seed):
    """A trained network, the data that it was trained on, and other data."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(seed)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    model = nn.Sequential(nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        for at in range(0, 1200, 64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[at : at + 64]), y[at : at + 64]).backward()
            optimizer.step()
    return model, (x[:300], y[:300]), (x[1200:], y[1200:])


def accuracy(model, data):
    return float((model(data[0]).argmax(1) == data[1]).double().mean())


SPARSITIES = (0.5, 0.7, 0.9)


@pytest.fixture(scope="module")
def kept_accuracy():
    """Mean accuracy over seeds by method, at each of the sparsities."""
    total = {}
    methods = ("magnitude", "brain-surgeon", "kronecker", "optimal-compression")
    for seed in (0, 1):
        model, data, held_out = digits(seed)
        measure = lambda m, held_out=held_out: accuracy(m, held_out)
        for point in curve(model, measure, SPARSITIES, methods, data=data, rounds=5):
            total.setdefault(point.method, []).append(point.value)
    return {name: torch.tensor(v).reshape(2, -1).mean(0) for name, v in total.items()}


@pytest.mark.parametrize("method", ["brain-surgeon", "kronecker", "optimal-compression"])
def test_the_surgeon_keeps_more_accuracy_than_magnitude_at_every_sparsity(method, kept_accuracy):
    gain = kept_accuracy[method] - kept_accuracy["magnitude"]
    assert (gain > 0).all(), gain
    assert gain[1] > 0.1  # at 0.7 it is no matter of chance


def test_at_seven_tenths_the_surgeon_has_lost_little(kept_accuracy):
    assert kept_accuracy["brain-surgeon"][1] > 0.9
