"""The pace keeps to its budget whatever things cost, on a clock of our own."""

from itertools import pairwise

import pytest

from thalweg.watching.pace import LOOKING, SAVING, Pace, next_due


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def run(budget, step, full, save, steps=20_000):
    """A run whose steps, looks and saves take these seconds; what watching took, and the looks."""
    clock = Clock()
    pace, due, looks = Pace(budget, clock), 0, []
    for at in range(steps):
        clock.seconds += step
        for purpose, cost in ((LOOKING, full), (SAVING, save)):
            wanted = at >= due if purpose == LOOKING else at % 16 == 0
            if wanted and (pace.affords(purpose) or (at == 0 and purpose == LOOKING)):
                clock.seconds += cost
                pace.own += cost
                pace.charge(purpose, cost)
                if purpose == LOOKING:
                    due = next_due(at)
                    looks.append(at)
    return pace, looks


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("full, save", [(3e-3, 1e-3), (0.1, 0.02), (1.0, 3.0)])
def test_a_long_run_costs_no_more_than_its_budget(budget, full, save):
    pace, _ = run(budget, 1e-2, full, save)
    plain = pace.elapsed - pace.own
    assert pace.own <= max(budget * plain * (1 + 1e-9), full + save)  # at first costs are unknown


def test_what_costs_more_is_looked_at_less():
    counts = [len(run(0.05, 1e-2, full, 1e-3)[1]) for full in (0.1, 1.0, 3.0)]
    assert counts[0] > counts[1] > counts[2] >= 1


def test_what_costs_nothing_is_spaced_by_the_length_of_the_run():
    _, looks = run(0.05, 1e-2, 1e-9, 1e-9)
    gaps = [later / earlier for earlier, later in pairwise(looks) if earlier > 99]
    assert min(gaps) >= 1.05
    assert max(gaps) < 1.07


def test_shares_that_add_up_to_more_do_not_go_beyond_the_whole():
    clock = Clock()
    pace = Pace(0.05, clock)
    clock.seconds = 100.0
    pace.charge(LOOKING, 0.4)
    pace.own = 4.6  # of 4.77 in all: what every step costs counts too
    pace.spent[LOOKING] = 0.0
    assert not pace.affords(LOOKING)
    pace.own = 4.3
    assert pace.affords(LOOKING)


@pytest.mark.parametrize("step, due", [(0, 2), (1, 3), (40, 42), (100, 105), (1001, 1052)])
def test_the_next_step_in_full(step, due):
    assert next_due(step) == due
