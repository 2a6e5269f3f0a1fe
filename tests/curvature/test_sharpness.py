"""Sharpness against closed forms on quadratics, and against the dense Hessian of a net."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.curvature import Hessian, sharpness

CURVATURES = torch.tensor([7.0, 3.0, 0.4, 0.01, -0.2], dtype=torch.float64)


def quadratic(w, scale=1.0):
    q = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    matrix = scale * q @ torch.diag(CURVATURES) @ q.T
    return Hessian(lambda p: p["w"] @ matrix @ p["w"] / 2, {"w": q @ w}), matrix


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e7])
def test_quadratics_have_the_closed_forms(scale):
    hessian, matrix = quadratic(torch.ones(5, dtype=torch.float64), scale)
    found = sharpness(hessian, tol=1e-9)
    g = hessian.gradient
    along = float(g @ matrix @ g / (g @ g))
    assert found.critical == pytest.approx(along, rel=0.06)  # a bracket of 2 ** (1 / 8)
    assert found.critical_learning_rate == pytest.approx(2 / found.critical)
    assert found.largest == pytest.approx(7 * scale, rel=1e-9)
    assert found.trace.lower <= float(CURVATURES.sum()) * scale <= found.trace.upper
    assert found.critical <= 1.06 * found.largest


def test_downward_curvature_alone_has_no_critical_rate():
    hessian = Hessian(lambda p: -p["w"].square().sum(), {"w": torch.ones(3, dtype=torch.float64)})
    found = sharpness(hessian)
    assert found.critical == 0
    assert found.critical_learning_rate == math.inf
    assert found.largest == pytest.approx(-2)


def test_a_nets_sharpness_is_its_dense_hessians():
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    data = torch.randn(30, 3, dtype=torch.float64), torch.randint(2, (30,))
    dense = Hessian.of_model(net, F.cross_entropy, data).to_dense()
    found = sharpness(net, F.cross_entropy, data, tol=1e-8, trace_products=20)
    values = torch.linalg.eigvalsh(dense)
    assert found.largest == pytest.approx(float(values[-1]), rel=1e-8)
    assert found.trace.lower <= float(values.sum()) <= found.trace.upper
    assert "critical sharpness" in str(found)
