"""A plateau: far from the minimum the loss hardly depends on the parameters.

Reference: Geman & McClure (1987), *Statistical methods for tomographic image reconstruction*, for
the formula; Goodfellow, Bengio & Courville (2016), *Deep Learning*, section 8.2.3.
"""

from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def plateau(scale: float = 1.0, dimension: int = 2) -> Landscape:
    """A funnel in a plain: f(w) = r^2 / (scale^2 + r^2) with r = |w|, lowest at the origin.

    The curvature at the origin is 2 / scale^2 in every direction. The gradient has the length
    2 scale^2 r / (scale^2 + r^2)^2: it is longest at r = scale / sqrt 3 and falls as r^-3 on the
    plain, where the Hessian has a negative eigenvalue along the radius. The run starts at
    r = 5 scale, where the gradient is a 44th of its longest.

    Args:
        scale: How wide the funnel is, above zero.
        dimension: n.

    Raises:
        ValueError: `scale` is not above zero, or `dimension` below 1.
    """
    if scale <= 0 or dimension < 1:
        raise ValueError(
            f"plateau(scale={scale}, dimension={dimension}): the scale must be above zero and the "
            "dimension at least 1."
        )

    def loss(w: Tensor) -> Tensor:
        squared = (w**2).sum(-1)
        return squared / (scale**2 + squared)

    side = 5 * scale / dimension**0.5
    return Landscape(
        name="plateau",
        loss=loss,
        start=point(*[side] * dimension),
        domain=((-6 * scale, 6 * scale),) * dimension,
        minimum=0.0,
        critical_points=(
            critical("minimum", point(*[0.0] * dimension), *[2 / scale**2] * dimension),
        ),
    )
