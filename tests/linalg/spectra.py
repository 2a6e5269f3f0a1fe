"""Matrices of known spectrum, and an operator that counts its products."""

import torch

from thalweg.operators import Matrix, Operator


def with_spectrum(values, seed=1, dtype=torch.float64, **known):
    """A dense symmetric matrix with these eigenvalues, in random directions."""
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    q, _ = torch.linalg.qr(draw)
    a = q @ torch.diag(values) @ q.T
    return Matrix(((a + a.T) / 2).to(dtype), **known)


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64).tolist()


SPECTRA = {
    "one": [3.0],
    "one, negative": [-3.0],
    "two": [-1.0, 2.0],
    "zero": [0.0] * 12,
    "one zero": [0.0],
    "identity": [1.0] * 20,
    "identity, negative": [-2.0] * 20,
    "identity but for float32's rounding": line(1, 1 + 1e-5, 60),
    "even": line(1, 2, 60),
    "indefinite": line(-3, 5, 80),
    "negative definite": line(-9, -1, 40),
    "clustered on top": [*line(0, 1, 50), *line(9.99, 10, 10)],
    "clustered at the bottom": [*line(-10, -9.99, 10), *line(0, 1, 50)],
    "degenerate": [5.0] * 10 + [1.0] * 30 + [-2.0] * 7,
    "quadruplets": line(1, 5, 5) * 4,
    "rank two": [0.0] * 60 + [7.0, -4.0],
    "rank one, tiny": [0.0] * 60 + [1e-30],
    "huge": [x * 1e150 for x in line(-1, 3, 30)],
    "geometric": [2.0**-i for i in range(60)],
    "a lone outlier": [*line(0.9999, 1.0001, 120), 2.0],
    "lone outliers at both ends": [-1.0, *line(-1e-5, 1e-5, 120), 1.0],
    "like a network": [-0.02, *line(-0.01, 0.01, 100), 0.05, 0.1, 0.2, 0.62],
}


def truth(operator):
    return torch.linalg.eigvalsh(operator.to_dense().double())


class Counting(Operator):
    """Another operator, with its products counted and, if asked, made wrong."""

    def __init__(self, inner, spoil=lambda product, count: product):
        self.name, self.size, self.dtype = "Counting", inner.size, inner.dtype
        self.device, self.facts = inner.device, inner.facts
        self._inner, self._spoil, self.count = inner, spoil, 0

    def _product(self, vector):
        self.count += 1
        return self._spoil(self._inner @ vector, self.count)
