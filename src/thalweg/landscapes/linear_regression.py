"""Least squares with one linear unit: the landscape that the inputs make.

The Hessian is the second-moment matrix of the inputs, whatever the targets are: inputs that are not
centred, or of different scales, or correlated make a ravine of the simplest model. So the remedy,
to normalize the inputs, lies in the data.

Reference: LeCun, Bottou, Orr & Müller (1998), *Efficient BackProp*, sections 4.3 and 5.3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from thalweg.landscapes.landscape import critical, point
from thalweg.landscapes.stochastic import StochasticLandscape

CENTER = (0.4, 0.8)  # of the class +1; the class -1 lies opposite
CURVATURES = (0.84, 0.036)  # along the line between the centers, and across


@dataclass(frozen=True, eq=False, kw_only=True)
class Regression(StochasticLandscape):
    """Least squares on a fixed set of examples.

    Attributes:
        inputs: Of shape (examples, n).
        targets: Of shape (examples,).
    """

    inputs: Tensor
    targets: Tensor


def linear_regression(inputs: Tensor, targets: Tensor) -> Regression:
    """Least squares: f(w) = 1/2 mean_i (y_i - w . x_i)^2.

    The Hessian is X^T X / p for p examples, everywhere; the minimizer solves
    X^T X w = X^T y, and is the shortest one if the inputs leave a direction open. The run starts at
    the origin. A random batch draws examples with replacement.

    Args:
        inputs: X, of shape (p, n).
        targets: y, of shape (p,).

    Raises:
        ValueError: Other shapes.
    """
    if inputs.ndim != 2 or targets.shape != inputs.shape[:1]:
        raise ValueError(
            f"linear_regression(inputs, targets): shapes {tuple(inputs.shape)} and "
            f"{tuple(targets.shape)}. Give inputs of shape (p, n) and targets of shape (p,)."
        )
    x, y = inputs.double(), targets.double()
    hessian = x.T @ x / len(x)
    curvatures = torch.linalg.eigvalsh(hessian).clamp(min=0)
    minimizer = torch.linalg.pinv(x) @ y
    reach = 2 * float(minimizer.abs().max()) or 1.0

    def losses(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        residuals: Tensor = w @ x.T.to(w) - y.to(w)
        return (residuals**2).mean(-1) / 2

    def sample(w: Tensor, batch: int = 1, generator: Generator | None = None) -> Tensor:
        drawn = torch.randint(len(x), (batch,), generator=generator)
        return losses(w, x[drawn], y[drawn])

    def gradient_covariance(w: Tensor) -> Tensor:
        gradients = (w @ x.T.to(w) - y.to(w))[:, None] * x.to(w)
        return torch.cov(gradients.T, correction=0)

    return Regression(
        name="linear-regression",
        loss=lambda w: losses(w, x, y),
        start=torch.zeros_like(minimizer),
        domain=((-reach, reach),) * len(minimizer),
        minimum=float(losses(minimizer, x, y)),
        critical_points=(critical("minimum", minimizer, *curvatures.tolist()),),
        isolated=bool(curvatures[0] > 1e-12 * curvatures[-1]),
        sample=sample,
        gradient_covariance=gradient_covariance,
        inputs=x,
        targets=y,
    )


def two_classes(per_class: int = 100, seed: int = 0) -> tuple[Tensor, Tensor]:
    """LeCun's inputs: two round classes whose second moments have eigenvalues 0.84 and 0.036.

    The class +1 has its center at (0.4, 0.8), the class -1 opposite. In place of a random sample
    that has these moments nearly, this one has them exactly: the points of a class come in pairs
    around its center, and their spread is scaled to what is missing, 0.84 - |(0.4, 0.8)|^2 = 0.04
    along the line between the centers and 0.036 across it. So regression on the targets +-1 has
    the minimizer (0.4, 0.8) / 0.84 and the minimum (1 - 0.8 / 0.84) / 2, and descent on it is
    stable for rates below 2 / 0.84 = 2.38.

    Args:
        per_class: Examples in each class: an even number, at least 4.
        seed: Of the points.

    Returns:
        Inputs of shape (2 per_class, 2) and targets of shape (2 per_class,).

    Raises:
        ValueError: `per_class` is odd or too small.
    """
    if per_class < 4 or per_class % 2:
        raise ValueError(
            f"two_classes(per_class={per_class}): points come in pairs, and two pairs or more "
            "span the plane. Give an even number, at least 4."
        )
    source = torch.Generator().manual_seed(seed)
    half = torch.randn(per_class // 2, 2, generator=source, dtype=torch.float64)
    spread = _whitened(torch.cat([half, -half])) @ _deviation()
    center = point(*CENTER)
    ones = torch.ones(per_class, dtype=torch.float64)
    return torch.cat([center + spread, -center + spread]), torch.cat([ones, -ones])


def _whitened(points: Tensor) -> Tensor:
    """Points of mean zero, mapped so that their second moments are the identity."""
    factor = torch.linalg.cholesky(points.T @ points / len(points))
    white: Tensor = torch.linalg.solve_triangular(factor, points.T, upper=False)
    return white.T


def _deviation() -> Tensor:
    """The symmetric root of the covariance that a class has around its center."""
    along = point(*CENTER) / math.hypot(*CENTER)
    onto = torch.outer(along, along)
    across = torch.eye(2, dtype=torch.float64) - onto
    missing = CURVATURES[0] - math.hypot(*CENTER) ** 2
    return math.sqrt(missing) * onto + math.sqrt(CURVATURES[1]) * across


def lecun_regression(per_class: int = 100, seed: int = 0) -> Regression:
    """One linear unit on LeCun's two classes; see `two_classes` for all that is known of it."""
    return linear_regression(*two_classes(per_class, seed))
