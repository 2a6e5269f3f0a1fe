"""Linear systems, and what a Krylov method is compared with."""

import torch
from spectra import with_spectrum

from thalweg.operators import LinearMap

PSD = frozenset({"psd"})


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


def powers(low, high, n):
    return torch.logspace(low, high, n, dtype=torch.float64)


def operator_of(values, seed=1, dtype=torch.float64, **known):
    """With these eigenvalues, in random directions; declared semidefinite where it is."""
    values = torch.as_tensor(values, dtype=torch.float64)
    known = known or {"facts": PSD if bool((values >= 0).all()) else frozenset()}
    return with_spectrum(values, seed, dtype, **known)


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
