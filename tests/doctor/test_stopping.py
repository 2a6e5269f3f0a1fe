"""A trial that is plainly worse is ended; one that could still be better never is."""

import math

import pytest

from thalweg.doctor.stopping import FEWEST, WINDOW, ceilings, overrun

FALLING = [2.0 - i / 100 for i in range(100)]  # from 2.0 to 1.01


def ended(limits, losses):
    """The step at which a run with these losses is ended; None if it is not."""
    broken = overrun(limits)
    return next((at for at, one in enumerate(losses, 1) if broken(at, one)), None)


def test_the_ceiling_is_three_ranges_above_the_highest():
    assert ceilings(FALLING) == [(25, pytest.approx(2 + 3 * 0.99)), (50, pytest.approx(4.97))]


@pytest.mark.parametrize("scale, shift", [(1e-6, 0.0), (1e6, 0.0), (1.0, -100.0), (2.0, 7.0)])
def test_a_shifted_or_scaled_loss_is_ended_at_the_same_step(scale, shift):
    limits = ceilings([scale * one + shift for one in FALLING])
    for level, wanted in [(4.9, None), (5.1, 25)]:
        assert ended(limits, [scale * level + shift] * 100) == wanted


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_it(bad):
    assert ended(ceilings(FALLING), [1.0] * 30 + [bad] * 70) == 50


def test_a_leap_that_comes_back_down_does_not():
    losses = [2.0] * 100
    losses[22] = 15.0  # in the window of the first check, whose mean stays below
    assert ended(ceilings(FALLING), losses) is None
    losses[22] = 5.1 * WINDOW
    assert ended(ceilings(FALLING), losses) == 25


@pytest.mark.parametrize(
    "losses", [[1.0] * (FEWEST - 1), [*FALLING, math.nan], [math.inf, *FALLING], []]
)
def test_where_nothing_can_be_said_nothing_is_ended(losses):
    assert ceilings(losses) == []
    assert ended([], [math.nan] * 100) is None


def test_a_constant_loss_has_a_ceiling_too():
    assert ceilings([2.0] * 100) == [(25, 8.0), (50, 8.0)]
