"""What the solvers refuse, and what they say then."""

import math

import pytest
import torch
from systems import Rectangular, line, operator_of, vector

from thalweg.linalg import cg, cr, lsmr, minres

SOLVERS = {"cg": cg, "cr": cr, "minres": minres, "lsmr": lsmr}
B = vector(9)
REFUSALS = {
    "a tensor": (lambda f, a: f(torch.eye(2), B), TypeError, r"\(Tensor\): give a.*Matrix\(A\)"),
    "tol": (lambda f, a: f(a, B, tol=0.0), ValueError, r"tol=0\.0.*between 0 and 1"),
    "tol above": (lambda f, a: f(a, B, tol=1.0), ValueError, r"tol=1\.0"),
    "backward": (lambda f, a: f(a, B, backward_tol=-1.0), ValueError, r"backward_tol=-1\.0"),
    "budget": (lambda f, a: f(a, B, max_products=0), ValueError, r"max_products=0"),
    "damping": (lambda f, a: f(a, B, damping=-0.5), ValueError, r"damping=-0\.5.*at least 0"),
    "damping, nan": (lambda f, a: f(a, B, damping=math.nan), ValueError, "damping=nan"),
    "gap": (lambda f, a: f(a, B, gap=-1.0), ValueError, r"gap=-1\.0"),
    "a list": (lambda f, a: f(a, [1.0] * 9), TypeError, r"rhs=list.*torch\.Tensor"),
    "shape": (lambda f, a: f(a, B[:4]), ValueError, r"rhs of shape \(4,\).*shape \(9,\)"),
    "columns": (lambda f, a: f(a, B[:, None]), ValueError, r"rhs of shape \(9, 1\)"),
    "dtype": (lambda f, a: f(a, B.float()), TypeError, r"rhs of torch\.float32.*torch\.float64"),
    "device": (lambda f, a: f(a, B.to("meta")), TypeError, r"on meta.*on cpu"),
    "not finite": (lambda f, a: f(a, B / 0), ValueError, r"rhs.*not finite"),
    "start": (lambda f, a: f(a, B, x0=B[:4]), ValueError, r"x0 of shape \(4,\)"),
    "start, not finite": (lambda f, a: f(a, B, x0=B / 0), ValueError, r"x0.*not finite"),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(name, call, error, says):
    with pytest.raises(error, match=rf"^{name}\(?.*{says}"):
        call(SOLVERS[name], operator_of(line(1, 2, 9)))


@pytest.mark.parametrize("name", ["cr", "minres", "lsmr"])
def test_refuses_a_normal_tolerance_that_is_none(name):
    with pytest.raises(ValueError, match=rf"{name}\(normal_tol=0\.0\).*between 0 and 1"):
        SOLVERS[name](operator_of(line(1, 2, 9)), B, normal_tol=0.0)


@pytest.mark.parametrize("name", ["cg", "cr"])
def test_advises_where_an_operator_may_be_indefinite(name):
    a = operator_of(line(1, 2, 9), facts=frozenset(), name="Hessian")
    says = (
        rf"{name}\(Hessian\): {name} needs a positive semidefinite operator; Hessian is not known "
        "to be: use minres or GaussNewton, or allow_indefinite=True"
    )
    with pytest.raises(ValueError, match=says):
        SOLVERS[name](a, B)
    assert SOLVERS[name](a, B, allow_indefinite=True).converged


PRECONDITIONERS = {
    "a number": (0.5, TypeError, r"preconditioner=float.*function of one flat vector"),
    "another size": (operator_of([1.0] * 4), ValueError, r"4 x 4, Matrix is 9 x 9"),
    "another shape": (lambda r: r[:4], ValueError, r"returned shape \(4,\).*shape \(9,\)"),
    "not finite": (lambda r: r / 0, FloatingPointError, "preconditioner's product is not finite"),
}


@pytest.mark.parametrize("name", ["cg", "cr", "minres"])
@pytest.mark.parametrize(("m", "error", "says"), PRECONDITIONERS.values(), ids=PRECONDITIONERS)
def test_refuses_a_preconditioner(name, m, error, says):
    with pytest.raises(error, match=rf"{name}.*{says}"):
        SOLVERS[name](operator_of(line(1, 2, 9)), B, preconditioner=m)


@pytest.mark.parametrize("name", ["cg", "cr", "minres"])
def test_refuses_a_preconditioner_that_is_zero(name):
    with pytest.raises(ValueError, match=r"r'M r = 0.*positive definite"):
        SOLVERS[name](operator_of(line(1, 2, 9)), B, preconditioner=lambda r: 0 * r)


RADII = {
    "zero": ({"radius": 0.0}, r"radius=0\.0.*positive length"),
    "infinite": ({"radius": math.inf}, "radius=inf"),
    "with a start": ({"radius": 1.0, "x0": B}, "with x0 or a preconditioner"),
    "preconditioned": ({"radius": 1.0, "preconditioner": lambda r: r}, "with x0 or a precond"),
}


@pytest.mark.parametrize(("options", "says"), RADII.values(), ids=RADII)
def test_refuses_a_radius(options, says):
    with pytest.raises(ValueError, match=says):
        cg(operator_of(line(1, 2, 9)), B, **options)


def test_lsmr_wants_a_right_hand_side_of_the_ranges_size():
    a = Rectangular(vector(12).reshape(4, 3))
    with pytest.raises(ValueError, match=r"rhs of shape \(3,\).*shape \(4,\)"):
        lsmr(a, vector(3))
    with pytest.raises(ValueError, match=r"x0 of shape \(4,\).*shape \(3,\)"):
        lsmr(a, vector(4), x0=vector(4))


def test_a_direction_without_a_list_of_facts_is_no_certificate():
    found = minres(operator_of(line(-1, 2, 9)), B)
    assert found.direction is None
