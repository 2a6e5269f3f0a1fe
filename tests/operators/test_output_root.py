"""Columns of the loss's output Hessian, against `torch.autograd.functional.hessian`."""

import pytest
import torch

from thalweg.operators.output_root import columns, joined


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


LOSSES = {
    "an entry each": lambda z: (z**4).sum(),
    "along the last axis": lambda z: z.logsumexp(-1).sum(),
    "along the first axis": lambda z: z.logsumexp(1).sum(),
    "along the second axis": lambda z: z.logsumexp(2).sum(),
    "whole samples": lambda z: z.flatten(1).logsumexp(1).sum(),
    "linear": lambda z: z.sum(),
}


SHAPES = [(4, 3), (4, 3, 2), (4, 3, 2, 2)]


@pytest.mark.parametrize(
    ("case", "shape"), [(c, s) for c in LOSSES for s in SHAPES if "second" not in c or len(s) > 2]
)
def test_columns_are_a_square_root_of_the_losss_hessian(case, shape):
    loss, z = LOSSES[case], torch.randn(shape, requires_grad=True)
    output = joined(z, None)
    width = z.numel() // 4
    found = list(columns(output, loss, kind="exact", weight=1.0))
    expected = torch.autograd.functional.hessian(loss, z.detach()).reshape(4, width, 4, width)
    actual = sum((torch.einsum("ni,nj->nij", u, u) for u in found), torch.zeros(4, width, width))
    blocks = torch.stack([expected[n, :, n] for n in range(4)])
    torch.testing.assert_close(actual, blocks, rtol=0, atol=1e-13 * max(1, float(blocks.max())))
    assert len(found) <= (0 if case == "linear" else width)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("height", [10, 14, 16, 30, 60, 100, 1000])
def test_a_softmax_that_is_sure_couples_no_samples(height, dtype):
    """Its Hessian's entries are small differences of large terms: far below their rounding."""
    noise = torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)
    targets = torch.arange(64) % 4
    z = height * torch.nn.functional.one_hot(targets, 4) + 0.3 * noise
    found = columns(
        joined(z.requires_grad_(), None),
        lambda z: torch.nn.functional.cross_entropy(z, targets),
        kind="exact",
        weight=1 / 64,
    )
    actual = sum((torch.einsum("ni,nj->nij", u, u) for u in found), torch.zeros(64, 4, 4))
    p = z.detach().double().softmax(-1)
    expected = (torch.diag_embed(p) - torch.einsum("ni,nj->nij", p, p)) / 64
    # A log-probability is a difference of two numbers of the logits' size.
    rounding = height * torch.finfo(dtype).eps / 64
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=4 * rounding)


COUPLED = {
    "a mean over samples": lambda z: z.mean(0).square().sum(),
    "a softmax over all": lambda z: z.flatten().logsumexp(0),
    "a softmax over all that is sure": lambda z: (z.flatten() * (z.flatten() + 40)).logsumexp(0),
    "two samples of six": lambda z: z.square().sum() + z[2] @ z[5],
    "two samples of six beside a softmax that is sure": lambda z: (
        (60 * z).logsumexp(-1).sum() + 1e-9 * (z[2] + z[5]).square().sum()
    ),
}


@pytest.mark.parametrize("case", COUPLED)
def test_samples_that_are_coupled_are_refused(case):
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with pytest.raises(ValueError, match="couples samples"):
        list(columns(joined(z, None), COUPLED[case], kind="exact", weight=1.0))


def test_a_sure_softmax_along_one_axis_has_blocks_along_that_axis():
    """By the structure that was looked for first: a column touches one pixel of each sample."""
    t = torch.arange(3 * 4).reshape(3, 2, 2) % 5
    z = 50 * torch.nn.functional.one_hot(t, 5).movedim(-1, 1) + torch.rand(3, 5, 2, 2)
    loss = lambda z: torch.nn.functional.cross_entropy(z, t)
    found = list(columns(joined(z.requires_grad_(), None), loss, kind="exact", weight=1 / 3))
    assert found
    assert all(int((u.reshape(3, 5, 4) != 0).any(1).sum(1).max()) == 1 for u in found)
