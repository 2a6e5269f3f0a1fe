r"""The way out of a saddle: where the gradient is zero, along negative curvature.

At a critical point no gradient says where to go, and a method that only solves with it stays. The
loss falls along v where v'Hv < 0, on either side. How far is not to be known from the gradient and
the Hessian; a tenth of the distance from the origin is tried first.
"""

from torch import Tensor

from thalweg.linalg import negative_curvature
from thalweg.linalg.products import length
from thalweg.minimize.contract import Proposal
from thalweg.minimize.directions.spectrum import Spectrum
from thalweg.operators import Operator

# Of |x|, the length to try first.
SHARE = 0.1


def escape(hessian: Operator, x: Tensor, max_products: int) -> Proposal:
    """Along negative curvature of `hessian` at x, if it has any; else the proposal to stay.

    The curvature of an escape is proved by the product that found it.
    """
    found = negative_curvature(hessian, max_products=max_products)
    if found.sign != "negative":
        return stay(x)
    return along(found.smallest.vector, found.smallest.value, x)


def escape_by(spectrum: Spectrum, x: Tensor) -> Proposal:
    """The same by the eigenvector of the smallest eigenvalue."""
    value = float(spectrum.values[0])
    if value >= -spectrum.rounding:
        return stay(x)
    return along(spectrum.vectors[:, 0].to(x.dtype), value, x)


def along(unit: Tensor, curvature: float, x: Tensor) -> Proposal:
    """The proposal of a unit vector of negative curvature, to either side."""
    return Proposal(
        vector=unit,
        slope=0.0,
        length=SHARE * length(x) or 1.0,
        curvature=curvature,
        escapes=True,
    )


def stay(x: Tensor) -> Proposal:
    """No step: nothing to first or second order leads down from here."""
    return Proposal(vector=x.new_zeros(x.shape), slope=0.0, curvature=0.0)
