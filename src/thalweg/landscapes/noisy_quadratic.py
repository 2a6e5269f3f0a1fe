"""The noisy quadratic: a bowl whose gradient comes with noise, so that a constant rate never ends.

Its means and variances under stochastic descent are known in closed form. They show what is taught
of noise: a large rate falls fast and ends high, a small one the other way round; a batch B times
as large lets the same rate end B times as low; and once the steepest directions limit the rate,
larger batches help no more.

Reference: Schaul, Zhang & LeCun (2013), arXiv 1206.1106, section 3; Zhang et al. (2019), arXiv
1907.04164, section 3 (their noise: `deviations` with squares equal to the curvatures).
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thalweg.landscapes.landscape import critical, point
from thalweg.landscapes.quadratic import quadratic
from thalweg.landscapes.stochastic import StochasticLandscape


def noisy_quadratic(
    spectrum: Sequence[float] = (1.0, 10.0), deviations: Sequence[float] = (1.0, 1.0)
) -> StochasticLandscape:
    """A bowl under noise: f(w; xi) = 1/2 sum_i lambda_i w_i^2 + xi . w, lowest at the origin.

    xi is normal with mean zero and standard deviations `deviations` / sqrt(batch), independent in
    each coordinate: it is the noise of the gradient.

    Args:
        spectrum: The curvatures lambda_i, none negative.
        deviations: Of the gradient's noise on a batch of one, as many.

    Raises:
        ValueError: A negative curvature, or another number of deviations.
    """
    bowl, sigma = quadratic(spectrum), point(*deviations)
    if len(deviations) != len(spectrum):
        raise ValueError(
            f"noisy_quadratic(spectrum, deviations): {len(spectrum)} curvatures and "
            f"{len(deviations)} deviations. Give one deviation for each curvature."
        )

    def sample(w: Tensor, batch: int = 1, generator: Generator | None = None) -> Tensor:
        noise = torch.randn(len(sigma), generator=generator, dtype=torch.float64)
        tilt: Tensor = w @ (noise * sigma / batch**0.5).to(w)
        return bowl.loss(w) + tilt

    return StochasticLandscape(
        name="noisy-quadratic",
        loss=bowl.loss,
        start=bowl.start,
        domain=bowl.domain,
        minimum=0.0,
        critical_points=(critical("minimum", torch.zeros_like(sigma), *spectrum),),
        isolated=bowl.isolated,
        sample=sample,
        gradient_covariance=lambda w: torch.diag(sigma**2).to(w),
    )


def expected_loss(
    spectrum: Sequence[float],
    deviations: Sequence[float],
    *,
    lr: float,
    steps: int,
    batch: int = 1,
    start: Tensor | None = None,
) -> float:
    """The mean loss on the noisy quadratic after plain stochastic descent.

    Along each axis the mean contracts by 1 - lr * lambda a step, and the variance follows
    V <- (1 - lr * lambda)^2 V + lr^2 sigma^2 / batch, from zero.

    Args:
        spectrum: The curvatures lambda_i.
        deviations: The deviations sigma_i of the gradient's noise on a batch of one.
        lr: The learning rate, constant.
        steps: How many, from 0.
        batch: The size of the batches.
        start: Of shape (n,); ones if None, where the landscape starts.
    """
    curvatures, sigma = point(*spectrum), point(*deviations)
    mean = torch.ones_like(curvatures) if start is None else start.double()
    factor = 1 - lr * curvatures
    noise = lr**2 * sigma**2 / batch
    variance = torch.zeros_like(curvatures)
    for _ in range(steps):
        mean, variance = factor * mean, factor**2 * variance + noise
    return float((curvatures * (mean**2 + variance)).sum() / 2)
