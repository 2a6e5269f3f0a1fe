"""Elastic distortions: images bent at random, under which their labels stay what they are.

Each pixel is taken from where a random displacement points to. Displacements are drawn from
[-1, 1] for each pixel, smoothed by a Gaussian of width sigma and multiplied by alpha. For small
sigma they stay random and blur the image; for large ones they cancel, and the image hardly moves;
in between it bends as a hand does. The drawing and the bending are kornia's.

Reference: Simard, Steinkraus & Platt (2003), *Best practices for convolutional neural networks
applied to visual document analysis*, section 2.
"""

import math
from typing import final

import torch
from torch import Tensor, nn


@final
class ElasticDistortion(nn.Module):
    """Bends each image of a batch in a way of its own while training; the identity otherwise.

        model = nn.Sequential(ElasticDistortion(alpha=8.0, sigma=2.0), model)

    Simard's values for digits of 28 by 28 pixels are alpha = 34, sigma = 4.

    Args:
        alpha: how far displacements go, in pixels before smoothing; 0 is the identity.
        sigma: the width of the Gaussian that smooths them, in pixels.
        padding: what lies beyond the image: "zeros", "border" or "reflection".

    Raises:
        ValueError: a negative alpha, or a sigma that is not positive.
        ImportError: kornia is not installed.
    """

    def __init__(self, alpha: float, sigma: float, *, padding: str = "zeros") -> None:
        super().__init__()
        if alpha < 0 or sigma <= 0:
            raise ValueError(
                f"ElasticDistortion(alpha={alpha}, sigma={sigma}): both are in pixels; alpha is 0 "
                "or more and sigma above 0."
            )
        try:
            from kornia.geometry.transform import elastic_transform2d
        except ImportError as error:
            raise ImportError(
                "ElasticDistortion bends images by kornia: pip install 'thalweg[augmentation]'"
            ) from error
        self.alpha, self.sigma, self.padding = alpha, sigma, padding
        self._bend = elastic_transform2d

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape.

        Raises:
            ValueError: another number of dimensions.
        """
        if images.dim() != 4:
            raise ValueError(
                f"ElasticDistortion on a tensor of shape {tuple(images.shape)}: give images as "
                "(N, C, H, W)."
            )
        return self.bent(images) if self.training and self.alpha else images

    def bent(self, images: Tensor) -> Tensor:
        """The images, each bent at random."""
        n, _, height, width = images.shape
        noise = 2 * torch.rand(n, 2, height, width, device=images.device, dtype=images.dtype) - 1
        size = 2 * math.ceil(3 * self.sigma) + 1  # the Gaussian, cut where it has all but vanished
        bent: Tensor = self._bend(
            images,
            noise,
            kernel_size=(size, size),
            sigma=(float(self.sigma), float(self.sigma)),
            alpha=(2 * self.alpha / width, 2 * self.alpha / height),  # an image is 2 units wide
            padding_mode=self.padding,
        )
        return bent

    def extra_repr(self) -> str:
        """Its settings."""
        return f"alpha={self.alpha}, sigma={self.sigma}, padding={self.padding!r}"
