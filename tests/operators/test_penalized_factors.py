"""Kronecker factors of a loss with a penalty: the penalty's Hessian is in them, exactly."""

import pytest
import torch
from networks import dense_hessian, normal, relative, trainable
from torch import nn
from torch.nn import functional as F

from thalweg.operators import EigenvalueCorrected, Kronecker

KINDS = [Kronecker, EigenvalueCorrected]


class Net(nn.Module):
    """A block of every sort: an embedding, a grouped convolution, a layer with bias, a norm."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.conv = nn.Conv1d(4, 4, 2, groups=2, bias=False)
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 3)
        self.gain = nn.Parameter(torch.tensor([1.3]))

    def forward(self, ids):
        z = self.conv(self.embed(ids).mT).tanh().mean(2)
        return self.gain * self.head(self.norm(z))


def problem():
    model = Net().double()
    return model, F.cross_entropy, [
        (torch.randint(0, 6, (n, 3)), torch.randint(0, 3, (n,))) for n in (4, 3)
    ]  # fmt: skip


def decay(params):
    """The same rate for every number."""
    return 0.4 * sum(p.square().sum() for p in params.values())


def by_layer(params):
    """A rate for each layer, none for the norm."""
    rates = {"embed": 0.3, "conv": 2.0, "head": 0.05}
    return sum(rates.get(name.split(".")[0], 0) * p.square().sum() for name, p in params.items())


def uneven(params):
    """Other curvature for every number, where blocks are no Kronecker products."""
    return decay(params) + (params["norm.weight"] ** 4).sum() + params["gain"].pow(4).sum()


ALLOWED = [decay, by_layer, uneven]


def pair(kind, penalty, **options):
    """The operator, and its matrix from that without the penalty and the penalty's own."""
    model, loss, data = problem()
    plain = kind.of_model(model, loss, data, **options)
    dense = plain.to_dense() + dense_hessian(penalty, trainable(model))
    return kind.of_model(model, loss, data, penalty=penalty, **options), dense, plain


@pytest.mark.parametrize("full", [512, 0])
@pytest.mark.parametrize("penalty", ALLOWED)
@pytest.mark.parametrize("kind", KINDS)
def test_its_hessian_is_in_everything_that_is_asked(kind, penalty, full):
    operator, dense, plain = pair(kind, penalty, full=full)
    eye, v = torch.eye(len(dense)).double(), normal(len(dense), 2)
    assert relative(operator.to_dense(), dense) < 1e-13
    assert relative(operator @ v, dense @ v) < 1e-13
    assert relative(operator.exact_diagonal(), dense.diagonal()) < 1e-13
    assert relative(operator.eigenvalues(), torch.linalg.eigvalsh(dense)) < 1e-13
    assert operator.trace() == pytest.approx(float(dense.trace()), rel=1e-13)
    inverse = torch.linalg.inv(dense + 0.1 * eye)
    assert relative(operator.inverse(0.1).to_dense(), inverse) < 1e-12
    assert relative(operator.solve(v, 0.1), inverse @ v) < 1e-12
    expected = float(torch.linalg.slogdet(dense + 0.1 * eye).logabsdet)
    assert operator.logdet(0.1) == pytest.approx(expected, rel=1e-12)
    assert operator.structure == plain.structure


@pytest.mark.parametrize("penalty", ALLOWED)
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_have_it(kind, penalty):
    model, loss, data = problem()
    operator = kind.of_model(model, loss, data, penalty=penalty)
    params = trainable(model)
    value = sum(len(y) * loss(model(x), y) for x, y in data) / 7 + penalty(params)
    gradient = torch.autograd.grad(value, list(params.values()))
    assert operator.loss == pytest.approx(value.item(), rel=1e-13)
    assert relative(operator.gradient, torch.cat([g.reshape(-1) for g in gradient])) < 1e-13


def test_factored_damping_splits_damping_and_decay_alike():
    """Martens & Grosse, section 6.3: sqrt(damping + decay), the penalty being decay / 2 |w|^2."""
    model, (x, y) = nn.Linear(3, 2).double(), (normal(6, 3), normal(6, 2))

    def penalty(params):
        return 0.35 * sum(p.square().sum() for p in params.values())

    plain = Kronecker.of_model(model, F.mse_loss, (x, y))
    operator = Kronecker.of_model(model, F.mse_loss, (x, y), penalty=penalty)
    inverse = operator.inverse(0.2, split="factored").to_dense()
    assert relative(inverse, plain.inverse(0.9, split="factored").to_dense()) < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_a_penalty_on_weights_alone_where_biases_do_not_vary(kind):
    model, loss, data = problem()
    weights = [name for name in trainable(model) if "bias" not in name]

    def on_weights(params):
        return sum(p.square().sum() for name, p in params.items() if name in weights)

    plain = kind.of_model(model, loss, data, params=weights)
    operator = kind.of_model(model, loss, data, params=weights, penalty=on_weights)
    eye = torch.eye(operator.size).double()
    assert relative(operator.to_dense(), plain.to_dense() + 2 * eye) < 1e-13


def test_averages_and_saved_factors_keep_it():
    first, _, plain = pair(Kronecker, decay)
    model, loss, data = problem()
    second = Kronecker.of_model(model, loss, data, penalty=by_layer)
    again = Kronecker.from_state_dict(first.state_dict())
    assert torch.equal(again.to_dense(), first.to_dense())
    mixed, without = first.averaged(second, 0.25), plain.averaged(
        Kronecker.of_model(model, loss, data), 0.25
    )  # fmt: skip
    params = trainable(model)
    shift = 0.25 * dense_hessian(decay, params) + 0.75 * dense_hessian(by_layer, params)
    assert relative(mixed.to_dense(), without.to_dense() + shift) < 1e-13


def test_a_new_basis_leaves_it():
    operator, _, plain = pair(EigenvalueCorrected, decay)
    eye = torch.eye(operator.size).double()
    expected = plain.refreshed().to_dense() + 0.8 * eye
    assert relative(operator.refreshed().to_dense(), expected) < 1e-12


def test_in_single_precision_decay_is_a_multiple_of_the_identity():
    model, loss, data = problem()
    operator = Kronecker.of_model(model.float(), loss, data, penalty=decay)
    plain = Kronecker.of_model(model, loss, data)
    eye = torch.eye(operator.size)
    assert relative(operator.to_dense(), plain.to_dense() + 0.8 * eye) < 1e-6


REFUSED = {
    "weights alone": (
        lambda p: p["head.weight"].square().sum(),
        "no multiple of the identity on head.weight and head.bias.*leave biases out",
    ),
    "nearly": (
        lambda p: decay(p) + 1e-9 * p["head.bias"].square().sum(),
        "no multiple of the identity on head",
    ),
    "coupled": (lambda p: p["norm.weight"].sum() ** 2, "is not diagonal.*GaussNewton"),
    "concave": (lambda p: -p["norm.weight"].square().sum(), "negative curvature"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("kind", KINDS)
def test_refuses_what_has_no_place_in_the_factors(kind, case):
    model, loss, data = problem()
    penalty, says = REFUSED[case]
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.of_model\(penalty=.*{says}"):
        kind.of_model(model, loss, data, penalty=penalty)
