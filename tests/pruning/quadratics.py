"""Quadratics and their constrained minima, solved by what the constraint says and nothing else."""

import torch


def positive_definite(size, seed=0):
    """A random symmetric positive definite matrix."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, dtype=torch.float64, generator=generator)
    return root @ root.T / size + 0.1 * torch.eye(size, dtype=torch.float64)


def vector(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def constrained(hessian, place, removed):
    """Where (w - v)' H (w - v) / 2 is least if w = 0 where removed, by its KKT system; how much."""
    size, rows = len(place), removed.nonzero().squeeze(1)
    select = torch.eye(size, dtype=hessian.dtype)[rows]
    corner = torch.zeros(len(rows), len(rows), dtype=hessian.dtype)
    system = torch.cat([torch.cat([hessian, select.T], 1), torch.cat([select, corner], 1)])
    right = torch.cat([hessian @ place, torch.zeros(len(rows), dtype=hessian.dtype)])
    found = torch.linalg.solve(system, right)[:size]
    step = found - place
    return found, float(step @ hessian @ step / 2)
