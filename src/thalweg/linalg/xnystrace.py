r"""XNysTrace: the trace of a positive semidefinite operator, deflated by its Nystrom approximation.

With s random columns W and A W, the Nystrom approximation A W (W'A W)^-1 W'A = F F' is at most A,
and exact on a matrix of rank s: s products deflate s directions. Leaving out one column each, as in
`linalg.xtrace`,

    t_i = tr(F_i F_i') + c_i w_i' (A - F_i F_i') w_i,     c_i = (n - s + 1) / |P_i w_i|^2,

P_i the projection beside the other columns. With W'A W = R'R, F = A W R^-1 and x_i the unit vector
along column i of R^-T, F_i F_i' = F (I - x_i x_i') F' and the form is (x_i'R e_i)^2. E. Epperly,
J. Tropp & R. Webber, *XTrace*, SIAM J. Matrix Anal. Appl. 45 (2024), sections 2.3 and 3; the
shift that keeps the triangle accurate is J. Tropp, A. Yurtsever, M. Udell & V. Cevher's (2017). The
error is that of `linalg.xtrace`.

Cost: s products and 2 n s^2 multiplications. Memory: 4 s vectors.
"""

import torch
from torch import Tensor

from thalweg.linalg.estimate import Estimate, Sampling, interval, unit_rounding
from thalweg.linalg.leave_out import Pairs, jackknife
from thalweg.linalg.probing import check_products, gaussian
from thalweg.linalg.xtrace import applied, symmetric
from thalweg.operators import Operator


def xnystrace(operator: Operator, count: int, confidence: float, seed: int) -> Estimate:
    """XNysTrace with `count` columns; see `linalg.trace.trace` for the rest.

    Raises:
        ValueError: the operator is not known to be positive semidefinite.
    """
    if "psd" not in operator.facts:
        raise ValueError(
            f"trace(method='xnystrace'): {operator.name} is not known to be positive "
            "semidefinite. Use method='krylov', or an operator that is, such as GaussNewton."
        )
    check_products("trace", count, 4, "method='xnystrace'")
    s = min(count, operator.size - 1) or 1
    generator = torch.Generator().manual_seed(seed)
    # The form is unchanged by an orthonormal basis of the columns, and the triangle is better.
    tests, mixing = torch.linalg.qr(gaussian(operator, s, generator))
    images = applied(operator, tests)
    scale = float(torch.linalg.vector_norm(images, dim=0).max())
    rounding = unit_rounding(operator.dtype) * scale * operator.size
    shift = 0.0
    if scale > 0:
        least = torch.finfo(images.dtype).eps * scale * operator.size**0.5
        shift = least_shift(tests, images, least)
    removed = shift * operator.size
    how = Sampling(confidence, s, "xnystrace", s - 1, rounding + 2 * removed)
    if not shift:
        return interval(0.0, 0.0, how)
    single, double = leave_out(operator.size, tests, images + shift * tests, mixing)
    return interval(float(single.mean()) - removed, jackknife(double), how)


def least_shift(tests: Tensor, images: Tensor, shift: float) -> float:
    """`shift`, or more of it by powers of ten until W'(A + shift I) W has a Cholesky factor.

    Raises:
        ValueError: it takes as much as A itself; A is not positive semidefinite.
    """
    gram = symmetric((tests.T @ images).double().cpu())
    eye, size = torch.eye(len(gram), dtype=gram.dtype), float(gram.diagonal().abs().max())
    while int(torch.linalg.cholesky_ex(gram + shift * eye).info):
        shift *= 10
        if shift > size:
            raise ValueError(
                "trace(method='xnystrace'): the operator is declared positive semidefinite and "
                "has a negative eigenvalue. Drop the fact 'psd', and use method='krylov'."
            )
    return shift


def leave_out(n: int, tests: Tensor, images: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor]:
    """t_i without column i, shape (s,); t_ij of w_j without columns i and j, shape (s, s).

    Args:
        n: the operator's size.
        tests: an orthonormal basis of the columns W, shape (n, s).
        images: A times it, shape (n, s).
        mixing: M with W = tests M, shape (s, s).
    """
    s = tests.shape[1]
    mixing = mixing.double().cpu()
    triangle = torch.linalg.cholesky(symmetric((tests.T @ images).double().cpu())).mT
    root = torch.linalg.qr(triangle @ mixing).R  # R'R = W'A W
    factor = factor_gram(images, triangle, mixing, root)  # F'F
    pairs = Pairs.of(root)
    xfx, xw = pairs.directions.T @ factor @ pairs.directions, pairs.directions.T @ root
    # The columns beside each other: the same planes, of W's own triangle.
    beside = Pairs.of(mixing)
    beside_w = beside.directions.T @ mixing

    known = factor.trace()
    single = (known - xfx.diagonal()) + (n - s + 1) * (xw.diagonal() / beside_w.diagonal()).square()
    mine, other = pairs.coefficients(xw)
    forms = mine * xw + other * xw.diagonal()
    mine, other = beside.coefficients(beside_w)
    lengths = mine * beside_w + other * beside_w.diagonal()
    double = (known - pairs.trace(xfx)) + (n - s + 2) * forms / lengths
    return single, double


def factor_gram(images: Tensor, triangle: Tensor, mixing: Tensor, root: Tensor) -> Tensor:
    """F'F for F = A W R^-1 = (A tests C^-1) (C M R^-1), C the Cholesky triangle: shape (s, s).

    The second factor is orthogonal. F itself is formed: the Gram matrix of A tests would lose half
    of the digits.
    """
    half = torch.linalg.solve_triangular(triangle.to(images), images, upper=True, left=False)
    turn = torch.linalg.solve_triangular(root, triangle @ mixing, upper=True, left=False)
    return symmetric(turn.mT @ (half.T @ half).double().cpu() @ turn)
