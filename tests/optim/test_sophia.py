"""Estimates of the Hessian's diagonal, and Sophia's steps with them."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import Sophia
from thalweg.optim.companions.hessian_diagonals import gauss_newton, hutchinson


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=source(seed), dtype=torch.float64)


def quartic(a, b):
    """A loss whose Hessian has terms off the diagonal, within a and between a and b."""
    return (a**4).sum() + (a.sum() * b) ** 2 + a[0] * a[1]


def test_hutchinsons_estimate_is_the_diagonal_on_average():
    a, b = draw(3).requires_grad_(), draw(1).requires_grad_()
    generator, loss, count = source(), quartic(a, b).sum(), 4000
    draws = [torch.cat(hutchinson(loss, [a, b], generator)) for _ in range(count)]
    whole = torch.cat([a, b]).detach()
    hessian = torch.autograd.functional.hessian(lambda x: quartic(x[:3], x[3:]).sum(), whole)
    deviation = (hessian.square().sum(1) + hessian.diagonal().square()).sqrt()  # of one draw
    error = (torch.stack(draws).mean(0) - hessian.diagonal()).abs()
    assert (error < 4 * deviation / count**0.5).all()


def test_hutchinsons_draws_are_the_hessian_times_u():
    a, b = draw(3).requires_grad_(), draw(1).requires_grad_()
    got = torch.cat(hutchinson(quartic(a, b).sum(), [a, b], source(5)))
    known = source(5)
    u = torch.cat([torch.randn(n, generator=known, dtype=torch.float64) for n in (3, 1)])
    whole = torch.cat([a, b]).detach()
    hessian = torch.autograd.functional.hessian(lambda x: quartic(x[:3], x[3:]).sum(), whole)
    assert_close(got, u * (hessian @ u))


def test_a_straight_or_absent_parameter_has_no_curvature():
    bent, straight, absent = (draw(2).requires_grad_() for _ in range(3))
    got = hutchinson((bent**2).sum() + straight.sum(), [bent, straight, absent], source())
    assert got[1].tolist() == [0.0, 0.0]
    assert got[2] is None
    assert hutchinson(straight.sum(), [straight, absent])[0].tolist() == [0.0, 0.0]


def test_the_gauss_newton_estimate_is_its_diagonal_on_average():
    x, weight = draw(5, 2), draw(2, 3, seed=2).requires_grad_()
    generator, count = source(), 4000
    logits = x @ weight
    draws = torch.stack([gauss_newton(logits, [weight], generator)[0] for _ in range(count)])
    chance = logits.detach().softmax(-1)
    spread = torch.diag_embed(chance) - chance[:, :, None] * chance[:, None, :]
    # d logits[n, c] / d weight[i, c] = x[n, i]
    exact = torch.einsum("ni,ncc,ni->ic", x, spread, x) / len(x)
    error = (draws.mean(0) - exact).abs()
    assert (error < 4 * draws.std(0) / count**0.5).all()


@pytest.mark.parametrize("before", [0, 2], ids=["before the first step", "between steps"])
def test_a_step_divides_by_the_running_estimate(before):
    p = nn.Parameter(draw(4))
    optimizer = Sophia([p], lr=0.1, betas=(0.5, 0.75), curvature_scale=0.5, weight_decay=0.0)
    m = torch.zeros(4, dtype=torch.float64)
    h, expected = m.clone(), p.detach().clone()
    for step in range(before + 3):
        loss = (p**4).sum() / 12  # with curvature p^2, all on the diagonal
        if step >= before:
            u = torch.randn(4, generator=source(step), dtype=torch.float64)
            h = 0.75 * h + 0.25 * u**2 * expected**2
            optimizer.update_hessian(loss=loss, generator=source(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        m = 0.5 * m + 0.5 * expected**3 / 3
        ratio = torch.where(h > 0, m / (0.5 * h).clamp(min=1e-300), m.sign() * torch.inf)
        expected = expected - 0.1 * ratio.clamp(-1, 1)
        assert_close(p.detach(), expected)
    assert_close(optimizer.state[p]["hessian"], h)


def test_one_estimator_is_to_be_chosen():
    optimizer = Sophia([nn.Parameter(torch.ones(2))])
    for given in ({}, {"loss": torch.ones(()), "logits": torch.ones(1, 2)}):
        with pytest.raises(TypeError, match=r"Sophia.update_hessian: give either loss="):
            optimizer.update_hessian(**given)
    whole = Sophia([nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    with pytest.raises(TypeError, match="a parameter is complex"):
        whole.update_hessian(loss=torch.ones(()))
