"""From suspicions and trials to the cause that is named first, on runs made by hand."""

import math

import pytest
from made_runs import SITE, run

from thalweg.doctor.ranking import EXPLAINED, rank
from thalweg.interventions import ClearStaleGradients, Clipping, LearningRate, OtherSign
from thalweg.obstacles.suspicion import Suspicion

MEASURE = (SITE, "accuracy")
CLEAR, CLIP, SLOW, SLOWER = (
    (ClearStaleGradients(),), (Clipping(1.0),), (LearningRate(0.1),), (LearningRate(0.01),)
)  # fmt: skip


def trials(base, *changed, base_losses=(1.0,) * 10):
    """The base run and the runs by name, each given as (interventions, accuracy[, losses])."""
    first = run(base_losses, [base])
    made = [run(*(rest or [(1.0,) * 10]), [end], what) for what, end, *rest in changed]
    return first, {one.name: one for one in (first, *made)}


def suspect(cause, strength, *proofs, **more):
    return Suspicion(cause, strength, f"it is {cause}", {}, list(proofs), **more)


def ranked(suspicions, base, *changed, compare_fit=True, **more):
    first, runs = trials(base, *changed, **more)
    return rank(suspicions, first, runs, MEASURE, 0, compare_fit)


def test_worth_is_strength_times_the_share_of_the_best():
    a, b = suspect("a", 0.9, CLEAR), suspect("b", 0.6, CLIP)
    first, second = ranked([a, b], 0.5, (CLEAR, 0.7), (CLIP, 0.9))
    assert (first.suspicion, second.suspicion) == (b, a)
    assert first.worth == pytest.approx(0.6 * 1.0)
    assert second.worth == pytest.approx(0.9 * 0.5)


def test_of_two_cures_the_one_whose_fault_was_seen_is_named():
    seen, merely = suspect("seen", 0.95, CLEAR), suspect("merely", 0.4, SLOW)
    first, _ = ranked([merely, seen], 0.5, (CLEAR, 0.88), (SLOW, 0.9))
    assert first.suspicion is seen


def test_evidence_without_a_cure_is_worth_nothing():
    (found,) = ranked([suspect("a", 0.97, CLEAR)], 0.5, (CLEAR, 0.5))
    assert (found.helped, found.worth) == (False, 0.0)


def test_a_change_below_the_margin_does_not_help():
    below, above = 0.5 + 0.04 - 0.001, 0.5 + 0.04 + 0.001
    assert not ranked([suspect("a", 0.9, CLEAR)], 0.5, (CLEAR, below))[0].helped
    assert ranked([suspect("a", 0.9, CLEAR)], 0.5, (CLEAR, above))[0].helped


def test_of_several_proofs_the_one_that_removes_most_counts():
    (found,) = ranked([suspect("a", 0.9, SLOW, SLOWER)], 0.5, (SLOW, 0.6), (SLOWER, 0.8))
    assert found.run.interventions == SLOWER
    assert found.share == pytest.approx(1.0)


def test_a_proof_that_was_not_made_is_left_out():
    (found,) = ranked([suspect("a", 0.9, SLOW, SLOWER)], 0.5, (SLOW, 0.6))
    assert found.run.interventions == SLOW
    (none,) = ranked([suspect("a", 0.9, OtherSign and (OtherSign(),))], 0.5, (SLOW, 0.6))
    assert (none.run, none.share, none.helped, none.worth) == (None, 0.0, False, 0.0)


FITS_WORSE = (2.0,) * 10


def test_a_cure_that_fits_worse_counts_only_where_fitting_does_not_matter():
    change = (SLOW, 0.9, FITS_WORSE)
    assert not ranked([suspect("a", 0.9, SLOW)], 0.5, change)[0].helped
    assert ranked([suspect("a", 0.9, SLOW, fits=False)], 0.5, change)[0].helped
    assert ranked([suspect("a", 0.9, SLOW)], 0.5, change, compare_fit=False)[0].helped


def test_a_proof_that_fits_is_preferred_to_a_better_one_that_does_not():
    proofs = suspect("a", 0.9, SLOW, SLOWER)
    (found,) = ranked([proofs], 0.5, (SLOW, 0.7), (SLOWER, 0.9, FITS_WORSE))
    assert found.run.interventions == SLOW
    assert found.share == pytest.approx(0.5)


@pytest.mark.parametrize("part, falls", [(EXPLAINED - 0.01, False), (EXPLAINED + 0.01, True)])
def test_unless_a_change_explains_it_away(part, falls):
    other = suspect("a", 0.9, CLIP, unless=[SLOW, SLOWER])
    (found,) = ranked([other], 0.5, (CLIP, 0.9), (SLOW, 0.5 + 0.4 * part))
    assert found.helped is not falls
    assert (found.worth == 0) is falls
    assert found.run.interventions == CLIP  # what was tried is still told


def test_unless_is_measured_against_the_cure_and_not_against_the_best():
    other = suspect("a", 0.9, CLIP, unless=[SLOW])
    (found,) = ranked([other], 0.5, (CLIP, 0.6), (SLOW, 0.58), (CLEAR, 0.99))
    assert not found.helped  # SLOW removes 0.8 of what CLIP does, if little of what CLEAR does


@pytest.mark.parametrize("other, falls", [(0.9, False), (0.93, False), (0.95, True)])
def test_unless_a_rival_does_materially_better(other, falls):
    rival = suspect("a", 0.9, CLIP, unless_better=[SLOW])
    (found,) = ranked([rival], 0.5, (CLIP, 0.9), (SLOW, other))
    assert found.helped is not falls


def test_unless_without_a_run_changes_nothing():
    (found,) = ranked([suspect("a", 0.9, CLIP, unless=[SLOW])], 0.5, (CLIP, 0.9))
    assert found.helped


def test_a_base_that_is_not_finite_is_helped_by_what_is():
    a, b = suspect("a", 0.8, CLIP), suspect("b", 0.8, CLEAR)
    broken = {"base_losses": (1.0, math.nan)}
    first, second = ranked([b, a], math.nan, (CLIP, 0.9), (CLEAR, 0.3), **broken)
    assert (first.suspicion, first.share) == (a, 1.0)
    assert second.helped
    assert second.worth == pytest.approx(0.8 * (1 - 0.6 / 0.9))


@pytest.mark.parametrize("first, second", [(0.3, 0.9), (0.9, 0.3)])
def test_of_cures_of_a_base_that_is_not_finite_the_better_one_is_taken(first, second):
    broken = {"base_losses": (1.0, math.nan)}
    change = [(CLIP, first), (CLEAR, second)]
    (found,) = ranked([suspect("a", 0.8, CLIP, CLEAR)], math.nan, *change, **broken)
    assert found.proof == (CLIP if first > second else CLEAR)
    assert found.share == 1.0


def test_a_trial_that_is_not_finite_helps_nobody():
    (found,) = ranked([suspect("a", 0.9, CLIP)], 0.5, (CLIP, math.nan))
    assert (found.helped, found.worth) == (False, 0.0)


def test_a_trial_that_makes_it_worse_is_worth_nothing():
    (found,) = ranked([suspect("a", 0.9, CLIP)], 0.5, (CLIP, 0.2), (CLEAR, 0.9))
    assert found.share < 0
    assert found.worth == 0.0


def test_no_suspicions_no_candidates():
    assert ranked([], 0.5, (CLIP, 0.9)) == []
