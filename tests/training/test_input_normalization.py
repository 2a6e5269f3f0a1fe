"""Inputs standardized and whitened: against NumPy, in one pass, and what it does to the Hessian."""

import copy
import io
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from thalweg.curvature import Hessian, spectrum
from thalweg.training.normalization import InputNormalization
from thalweg.training.normalization.moments import gathered, moments

NEAR = {"rtol": 1e-9, "atol": 1e-9}
WHITE = ("pca", "zca")
KINDS = ("standardize", *WHITE)
MIX = torch.tensor([[3.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-2.0, 0.2, 0.1]], dtype=torch.float64)
SHIFT = torch.tensor([5.0, -40.0, 0.3], dtype=torch.float64)


def table(rows=200, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=random, dtype=torch.float64) @ MIX.T + SHIFT


def cov(x):
    return torch.from_numpy(np.cov(x.numpy(), rowvar=False, ddof=0))


# Moments in one pass.


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("sizes", [[200], [1, 199], [3] * 66 + [2], [150, 1, 49]])
def test_merged_moments_are_those_of_the_whole(sizes, together):
    x = table()
    found = gathered(moments(part, together) for part in x.split(sizes))
    expected = cov(x) if together else x.var(0, correction=0)
    assert found.count == 200
    assert_close(found.mean, x.mean(0), **NEAR)
    assert_close(found.covariance, expected, **NEAR)


def test_moments_do_not_cancel_where_the_mean_is_large():
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    far = x + 1e8
    found = gathered(moments(part) for part in far.split(7))
    assert_close(found.covariance, x.var(0, correction=0), rtol=1e-6, atol=0)
    squares = far.square().mean(0) - far.mean(0).square()  # what it is instead of
    assert (squares / x.var(0, correction=0) - 1).abs().max() > 0.1


# The maps.


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_set_has_zero_mean_and_unit_variance(kind):
    x = table()
    z = InputNormalization(kind).fit(x)(x)
    assert_close(z.mean(0), torch.zeros(3).double(), **NEAR)
    assert_close(z.var(0, correction=0), torch.ones(3).double(), **NEAR)
    if kind in WHITE:
        assert_close(cov(z), torch.eye(3).double(), **NEAR)


def test_each_kind_is_its_formula():
    x = table()
    values, vectors = np.linalg.eigh(np.cov(x.numpy(), rowvar=False, ddof=0))
    rest = x.numpy() - x.numpy().mean(0)
    fitted = {kind: InputNormalization(kind).fit(x)(x).numpy() for kind in KINDS}
    np.testing.assert_allclose(fitted["standardize"], rest / rest.std(0), rtol=1e-9)
    np.testing.assert_allclose(
        fitted["zca"], rest @ vectors @ np.diag(values**-0.5) @ vectors.T, atol=1e-9
    )
    along = (rest @ vectors / values**0.5)[:, ::-1]
    np.testing.assert_allclose(np.abs(fitted["pca"]), np.abs(along), atol=1e-9)


def test_zca_moves_the_data_least():
    x = table()
    rest = x - x.mean(0)
    moved = {kind: (InputNormalization(kind).fit(x)(x) - rest).square().sum() for kind in WHITE}
    assert moved["zca"] < moved["pca"]


def test_principal_directions_have_a_sign_of_their_own():
    x = table()
    one, other = (
        InputNormalization("pca").fit(x[order]) for order in (slice(None), range(199, -1, -1))
    )
    assert_close(one.into, other.into, **NEAR)
    for seed in range(5):
        into = InputNormalization("pca").fit(table(seed=seed) * (-1) ** seed).into
        assert (into.gather(0, into.abs().argmax(0, keepdim=True)) > 0).all()


def test_components_keep_what_varies_most():
    x = table()
    some = InputNormalization("pca", components=2).fit(x)
    whole = InputNormalization("pca").fit(x)
    assert_close(some(x), whole(x)[:, :2])
    lost = (some.inverse(some(x)) - x).square().sum() / len(x)
    assert_close(lost, torch.linalg.eigvalsh(cov(x))[0], **NEAR)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [slice(None), slice(0, 1)])
def test_the_inverse_gives_the_inputs_back(kind, rows):
    fitted = InputNormalization(kind).fit(table())
    fresh = table(seed=1)[rows]
    assert_close(fitted.inverse(fitted(fresh)), fresh, **NEAR)


SHAPES = {"features": ((60, 4), 1), "images": ((10, 4, 3, 5), 1), "sequences": ((10, 6, 4), -1)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_features_are_found_where_they_stand(kind, name):
    shape, axis = SHAPES[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3
    fitted = InputNormalization(kind, axis=axis).fit(x)
    z = fitted(x)
    assert z.shape == x.shape
    rows = z.movedim(axis, -1).reshape(-1, 4)
    assert_close(rows.mean(0), torch.zeros(4).double(), **NEAR)
    assert_close(rows.square().mean(0), torch.ones(4).double(), **NEAR)
    assert_close(fitted.inverse(z), x, **NEAR)


# Constant features.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e12])
def test_a_constant_feature_becomes_zero_and_comes_back(kind, value):
    x = torch.cat([table(), torch.full((200, 1), value, dtype=torch.float64)], 1)
    fitted = InputNormalization(kind).fit(list(x.split(7)))
    z = fitted(x)
    zero = z[:, 3] if kind != "pca" else z[:, -1]
    assert_close(zero, torch.zeros(200).double(), atol=1e-3 if value < -1 else 1e-12, rtol=0)
    assert_close(fitted.inverse(z), x, **NEAR)
    assert_close(z.square().mean(0).sum(), torch.tensor(3.0).double(), **NEAR)


def test_the_rounding_of_a_type_is_no_variance():
    x = table().float()
    x[:, 2] = 7 * (1 + torch.arange(200) % 2 * 2.0**-23)  # neighbouring numbers of float32
    z = InputNormalization().fit(x)(x)
    assert z[:, 2].abs().max() < 1e-5
    assert InputNormalization().fit(x.double())(x.double())[:, 2].abs().max() > 0.9


def test_a_feature_twice_is_whitened_to_one_direction():
    x = table()
    z = InputNormalization("zca").fit(torch.cat([x, x[:, :1]], 1))(torch.cat([x, x[:, :1]], 1))
    assert_close(torch.linalg.eigvalsh(cov(z)), torch.tensor([0.0, 1, 1, 1]).double(), **NEAR)


# Loaders, types, states.


def loader(x, **options):
    return DataLoader(TensorDataset(x, torch.zeros(len(x))), **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "given",
    [
        lambda x: loader(x, batch_size=32),
        lambda x: loader(x, batch_size=7, shuffle=True),
        lambda x: (part for part in x.split(50)),
        lambda x: [[part, "label"] for part in x.split(50)],
        lambda x: [x[:0], x],
        lambda x: (x, x[:, :1] * 9),  # inputs and targets
        lambda x: (x, x.sign()),
    ],
)
def test_a_loader_is_read_in_one_pass(kind, given):
    x = table()
    torch.manual_seed(0)
    assert_close(
        InputNormalization(kind).fit(given(x))(x), InputNormalization(kind).fit(x)(x), **NEAR
    )


@pytest.mark.parametrize(
    "given, kept", [(torch.float64, torch.float64), (torch.float32, torch.float32),
                    (torch.float16, torch.float32), (torch.uint8, torch.float32)],
)  # fmt: skip
def test_types(given, kept):
    x = table().abs().to(given)
    fitted = InputNormalization().fit(x)
    assert {buffer.dtype for buffer in fitted.buffers()} == {kept}
    assert fitted(x).dtype == (given if given.is_floating_point else kept)


def test_images_of_bytes_are_normalized_by_channel():
    x = torch.randint(0, 256, (20, 3, 6, 6), generator=torch.Generator().manual_seed(0)).byte()
    z = InputNormalization().fit(x)(x)
    assert z.mean((0, 2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_it_travels_in_the_state(kind):
    x = table()
    model = nn.Sequential(InputNormalization(kind).fit(x), nn.Linear(3, 2).double())
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = nn.Sequential(InputNormalization(kind), nn.Linear(3, 2))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_close(other[0](x), model[0](x), rtol=0, atol=0)
    assert_close(copy.deepcopy(model)(x), model(x), rtol=0, atol=0)


def test_training_and_evaluation_change_nothing():
    fitted = InputNormalization().fit(table())
    before = copy.deepcopy(fitted.state_dict())
    fresh = table(seed=3) * 10
    assert_close(fitted.train()(fresh), fitted.eval()(fresh), rtol=0, atol=0)
    assert list(fitted.parameters()) == []
    assert all(torch.equal(before[name], one) for name, one in fitted.state_dict().items())


# Refusals.


def unlike(x):
    x = x.clone()
    x[3, 1] = float("nan")
    return x


@pytest.mark.parametrize(
    "kind, options, given, error, says",
    [
        ("standardize", {}, table(1), ValueError, "1 observations are too few"),
        ("standardize", {}, [], ValueError, "0 observations are too few"),
        ("zca", {}, table(3), ValueError, "at most rank 2, and 3 is needed"),
        ("pca", {"components": 5}, table(), ValueError, "only 3 features"),
        ("pca", {}, table(3), ValueError, "or keep fewer components"),
        ("standardize", {}, unlike(table()), ValueError, "feature 1 of batch 0 is not finite"),
        ("standardize", {}, table()[0], ValueError, r"of shape \(3,\)"),
        ("zca", {}, table() * torch.tensor([1, 1, 1e-8]), ValueError, "feature 2 .*standardize"),
        ("zca", {}, TensorDataset(table()), TypeError, "or a DataLoader"),
        ("zca", {}, 3, TypeError, "one tensor"),
        ("zca", {}, [{"x": table()}], TypeError, "begins with dict"),
    ],
)
def test_what_it_cannot_be_fitted_on_is_refused(kind, options, given, error, says):
    with pytest.raises(error, match=says):
        InputNormalization(kind, **options).fit(given)


def test_three_samples_are_enough_for_two_components():
    assert InputNormalization("pca", components=2).fit(table(3)).fitted


def test_misuse_is_refused():
    fitted = InputNormalization().fit(table())
    with pytest.raises(ValueError, match="fitted already"):
        fitted.fit(table())
    with pytest.raises(ValueError, match="3 features at axis 1 are needed"):
        fitted(torch.zeros(2, 4))
    with pytest.raises(RuntimeError, match="call fit"):
        InputNormalization()(table())
    with pytest.raises(ValueError, match="choose one of standardize"):
        InputNormalization("zac")
    with pytest.raises(ValueError, match="components"):
        InputNormalization("zca", components=2)


# The Hessian of a linear unit.


def half_square(outputs, targets):
    return (outputs - targets).square().mean() / 2


def hessian_of_a_unit(x):
    model = nn.Linear(3, 1, bias=False).double()
    with Hessian.of_model(model, half_square, (x, torch.ones(len(x), 1).double())) as hessian:
        return hessian.to_dense()


def test_the_hessian_of_a_linear_unit_is_the_second_moment_of_its_inputs():
    x = table()
    assert_close(hessian_of_a_unit(x), x.T @ x / len(x), **NEAR)


def test_of_centered_inputs_it_is_the_covariance():
    x = table()
    assert_close(hessian_of_a_unit(x - x.mean(0)), cov(x), **NEAR)


def test_standardized_it_is_the_correlation():
    x = table()
    expected = torch.from_numpy(np.corrcoef(x.numpy(), rowvar=False))
    assert_close(hessian_of_a_unit(InputNormalization().fit(x)(x)), expected, **NEAR)


@pytest.mark.parametrize("kind", WHITE)
def test_whitened_it_is_the_identity(kind):
    z = InputNormalization(kind).fit(table())(table())
    assert_close(hessian_of_a_unit(z), torch.eye(3).double(), **NEAR)


def test_condition_numbers_fall_with_each_step():
    x = table() * torch.tensor([1.0, 30.0, 0.1], dtype=torch.float64)
    inputs = [x, x - x.mean(0), InputNormalization().fit(x)(x), InputNormalization("zca").fit(x)(x)]
    numbers = [condition(one) for one in inputs]
    assert all(one > 5 * next_one for one, next_one in itertools.pairwise(numbers))
    assert numbers[3] == pytest.approx(1, rel=1e-6)


def condition(x):
    model = nn.Linear(3, 1).double()
    return spectrum(model, half_square, (x, torch.ones(len(x), 1).double())).condition.number
