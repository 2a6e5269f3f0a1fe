"""Linear systems of every awkward shape, and maps that count or spoil their products."""

import torch

from thalweg.curvature import LinearMap, Matrix, Operator

PSD = frozenset({"psd"})


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


def powers(low, high, n):
    return torch.logspace(low, high, n, dtype=torch.float64)


def rotated(values, seed=1):
    """A dense symmetric matrix with these eigenvalues, in random directions."""
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    q, _ = torch.linalg.qr(draw)
    a = q @ torch.diag(values) @ q.T
    return (a + a.T) / 2


def operator_of(values, seed=1, dtype=torch.float64, **known):
    values = torch.as_tensor(values, dtype=torch.float64)
    known = known or {"facts": PSD if bool((values >= 0).all()) else frozenset()}
    return Matrix(rotated(values, seed).to(dtype), **known)


def vector(n, seed=3, dtype=torch.float64):
    return torch.randn(n, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Rectangular(LinearMap):
    """An explicit m x n matrix."""

    def __init__(self, entries, name="Rectangular"):
        self.name, self.dtype, self.device = name, entries.dtype, entries.device
        self.entries = entries

    @property
    def shape(self):
        return tuple(self.entries.shape)

    def _product(self, v):
        return self.entries @ v

    def _transposed_product(self, u):
        return self.entries.T @ u


class Counting(Operator):
    """Another operator, with its products counted and, if asked, made wrong."""

    def __init__(self, inner, spoil=lambda product, count: product):
        self.name, self.size, self.dtype = "Counting", inner.size, inner.dtype
        self.device, self.facts = inner.device, inner.facts
        self._inner, self._spoil, self.count = inner, spoil, 0

    def _product(self, v):
        self.count += 1
        return self._spoil(self._inner @ v, self.count)


def krylov_basis(a, b, k):
    """Orthonormal columns that span b, A b, ..., A^(k-1) b, one after another."""
    columns = [b / b.norm()]
    for _ in range(k - 1):
        w = a @ columns[-1]
        for _ in range(2):
            for v in columns:
                w = w - (v @ w) * v
        columns.append(w / w.norm())
    return torch.stack(columns, 1)
