"""Runs that differ although nothing was changed, and trials that disturb each other."""

import dataclasses
import math

import pytest
from made_runs import run

from thalweg.doctor.neighbours import disturbed
from thalweg.doctor.repeatability import begin_alike
from thalweg.interventions import Clipping, LearningRate

SLOWER, FASTER = LearningRate(0.1), LearningRate(10.0)
BASE = run([2.0, 1.0])

# Another run, and whether it leaves the base repeatable.
OTHERS = {
    "begins as it does": (run([2.0, 1.9], changed=(SLOWER,)), True),
    "differs by rounding": (run([2.0001, 1.9], changed=(FASTER,)), True),
    "begins elsewhere": (run([2.1, 1.9], changed=(SLOWER,)), False),
    "is another seed's": (run([2.1, 1.9], changed=(SLOWER,), seed=1), True),
    "changes more than the rate": (run([2.1, 1.9], changed=(SLOWER, Clipping(1.0))), True),
    "has no finite loss": (run([math.nan], changed=(SLOWER,)), True),
    "saw nothing": (run([], changed=(SLOWER,)), True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_rate_does_not_change_the_first_loss(name):
    other, alike = OTHERS[name]
    assert begin_alike(BASE, [other]) is alike
    assert begin_alike(BASE, [run([2.0], changed=(SLOWER,)), other]) is alike


def test_under_a_remedy_it_is_the_remedys_run_that_counts():
    remedied = run([5.0, 1.0], changed=(Clipping(1.0),))
    slower = run([5.0, 2.0], changed=(Clipping(1.0), SLOWER))
    assert begin_alike(remedied, [slower])
    assert begin_alike(remedied, [run([2.0], changed=(SLOWER,))])
    assert not begin_alike(remedied, [run([5.1], changed=(Clipping(1.0), SLOWER))])


# How a trial ended, why, and whether another may have been the reason.
ENDINGS = {
    "a port": ("crashed", "OSError: [Errno 98] Address already in use (line 3)", True),
    "a lock": ("crashed", "BlockingIOError: [Errno 11] Resource temporarily unavailable", True),
    "a folder": ("crashed", "FileExistsError: [Errno 17] File exists: 'x' (line 9)", True),
    "a database": ("crashed", "OperationalError: database is locked (line 2)", True),
    "a process group": ("crashed", "DistNetworkError: address already in use", True),
    "its own mistake": ("crashed", "ValueError: the shapes do not fit (line 2)", False),
    "no built-in name": ("crashed", "print: x", False),
    "a limit": ("seconds", "OSError: told on the way", False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_what_another_trial_may_have_disturbed(name):
    ended, reason, expected = ENDINGS[name]
    outcome = dataclasses.replace(BASE.outcome, ended=ended, reason=reason)
    assert disturbed(outcome) is expected
