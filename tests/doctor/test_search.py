"""The search for causes in worlds where the truth is known: which changes help is a table."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_runs import SITE, run

import thalweg.doctor.search as searching
from thalweg.doctor.control import MOST, controlled, draws
from thalweg.doctor.examination import Examination
from thalweg.doctor.findings import findings, ruled_out, suspicions
from thalweg.doctor.runs import name_of
from thalweg.doctor.search import Search
from thalweg.doctor.standing import standing
from thalweg.interventions import (
    ClearStaleGradients,
    Clipping,
    Initialization,
    LearningRate,
    PermutedTargets,
)
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion

MEASURE = (SITE, "accuracy")
CLEAR, CLIP, START = (ClearStaleGradients(),), (Clipping(1.0),), (Initialization("he"),)
SLOW, FAST, SLOWER = (LearningRate(0.1),), (LearningRate(10.0),), (LearningRate(0.01),)
LEARNS = [1.0 - i / 100 for i in range(60)]
STUCK = [1.0] * 60


class World:
    """A bench whose runs end at the accuracy that a function of the changes' kinds gives."""

    def __init__(self, accuracy, losses=LEARNS):
        self.accuracy, self.losses = accuracy, losses
        self.runs, self.asked = {}, []
        self.runner = SimpleNamespace(jobs=2)
        self.seconds_left, self.max_seconds, self.ceilings, self.planned = 1e3, 60.0, (), 0

    def watch(self, changed, max_seconds):
        return self._end(changed, 0)

    def make(self, wanted, why):
        for one in wanted:
            if (one.name, one.seed) not in self.runs:
                self.asked.append(one.name)
                self.runs[one.name, one.seed] = self._end(one.interventions, one.seed)
        return [self.runs[one.name, one.seed] for one in wanted]

    def _end(self, changed, seed):
        words = frozenset(name_of((one,)) for one in changed)
        return run(self.losses, [self.accuracy(words) + 0.001 * seed], changed, seed)


def names(*proofs):
    return frozenset(name_of(proof) for proof in proofs)


def obstacle(code, strength, *proofs, **more):
    """An obstacle that always judges so."""
    found = Suspicion(code, strength, f"it is {code}", {}, list(proofs), **more)
    return code, SimpleNamespace(CODE=code, judge=lambda seen: found)


@pytest.fixture
def knows(monkeypatch):
    """Let the doctor know these obstacles alone."""
    return lambda *them: monkeypatch.setattr(searching, "OBSTACLES", dict(them))


def examined(world, control=False):
    made = Examination(world, Path("train.py"), (), (), 60.0, 0.0, control)
    made.base, made.measure = world.watch((), 60.0), MEASURE
    made.decide()
    return made


def causes(made):
    return [one.candidate.suspicion.cause for one in made.proved]


def test_what_alone_removes_the_harm_is_proved(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.9, CLIP))
    made = examined(World(lambda done: 0.9 if names(CLIP) & done else 0.3))
    assert causes(made) == ["b"]
    assert made.remedy == CLIP
    assert made.proved[0].checked.held
    assert made.verdict()[0] == "obstructed"


def test_nothing_helps_and_nothing_is_named(knows):
    knows(obstacle("a", 0.9, CLEAR))
    made = examined(World(lambda done: 0.9))
    assert (causes(made), made.verdict()[0]) == ([], "healthy")
    assert suspicions(made)[0] | {"summary": ""} == {
        "cause": "a", "strength": 0.9, "summary": "", "tried": True, "helped": False, "share": 0.0,
    }  # fmt: skip


def test_a_cause_that_is_plain_saves_the_trials_of_faint_suspicions(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.4, CLIP))
    world = World(lambda done: 0.9 if names(CLEAR) & done else 0.3)
    assert causes(examined(world)) == ["a"]
    assert name_of(CLIP) not in world.asked


def test_a_faint_suspicion_is_tried_where_nothing_is_plain(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.4, CLIP))
    assert causes(examined(World(lambda done: 0.9 if names(CLIP) & done else 0.3))) == ["b"]


def test_what_explains_a_cause_away_is_tried_before_it_is_named(knows):
    knows(
        obstacle("a", 0.9, CLIP, unless=[SLOWER]),
        obstacle("b", 0.5, SLOW),
    )
    good = [names(CLIP), names(SLOWER), names(SLOW)]
    world = World(lambda done: 0.9 if any(one & done for one in good) else 0.3)
    assert causes(examined(world)) == ["b"]
    assert name_of(SLOWER) in world.asked


HARM = (PermutedTargets(),)


@pytest.mark.parametrize(("under_it", "found"), [(0.3, ["a"]), (0.28, ["a"]), (0.2, [])])
def test_a_control_that_does_no_harm_proves_what_nothing_mends(knows, under_it, found):
    knows(obstacle("a", 0.9, controls=[HARM]), obstacle("b", 0.9, CLEAR))
    world = World(lambda done: under_it if names(HARM) & done else 0.3)
    made = examined(world, control=True)
    assert causes(made) == found
    assert (made.remedy, made.control) == ((), None)
    for one in findings(made):
        assert (one["remedy"], one["verified"]) == (None, None)
        assert one["trials"][0]["interventions"] == [{"kind": "permuted-targets"}]


def test_a_control_is_not_needed_where_something_mends(knows):
    knows(obstacle("a", 0.9, controls=[HARM]), obstacle("b", 0.9, CLEAR))
    world = World(lambda done: 0.9 if names(CLEAR) & done else 0.3)
    made = examined(world)
    assert causes(made)[0] == "b"


def test_a_faint_suspicion_is_not_proved_by_a_control(knows):
    knows(obstacle("a", 0.4, controls=[HARM]))
    assert causes(examined(World(lambda done: 0.3))) == []


TWO = [obstacle("a", 0.9, CLEAR), obstacle("b", 0.8, START), obstacle("c", 0.7, CLIP)]


def test_a_second_fault_is_found_under_the_first_remedy(knows):
    knows(*TWO)
    steps = {0: 0.2, 1: 0.5, 2: 0.9}
    made = examined(World(lambda done: steps[len(done & (names(CLEAR) | names(START)))]))
    assert causes(made) == ["a", "b"]
    assert made.remedy == (*CLEAR, *START)
    assert made.proved[1].found_with == CLEAR
    assert [one.value for one in made.proved[1].checked.before] == pytest.approx(
        [0.5, 0.501, 0.502]
    )
    told = findings(made)
    assert [one["cause"] for one in told if one["role"] == "cause"] == ["a", "b"]
    assert told[1]["found_with"] == [CLEAR[0].as_data()]
    assert told[1]["remedy"]["interventions"] == [START[0].as_data()]
    assert told[1]["baseline"]["score"] == pytest.approx(0.5)


def test_what_merely_helps_under_a_remedy_is_no_second_fault(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.4, START))
    steps = {0: 0.2, 1: 0.5, 2: 0.9}
    made = examined(World(lambda done: steps[len(done & (names(CLEAR) | names(START)))]))
    assert causes(made) == ["a"]


def test_two_faults_that_hide_each_other_are_found_as_a_pair(knows):
    knows(*TWO)
    both = names(CLEAR) | names(START)
    made = examined(World(lambda done: 0.9 if both <= done else 0.1, STUCK))
    assert sorted(causes(made)) == ["a", "b"]
    assert set(map(name_of, [made.remedy])) <= {
        name_of((*CLEAR, *START)), name_of((*START, *CLEAR)),
    }  # fmt: skip
    assert all(one.checked.held for one in made.proved)


def test_pairs_are_tried_only_where_training_is_stuck(knows):
    knows(*TWO)
    both = names(CLEAR) | names(START)
    assert causes(examined(World(lambda done: 0.9 if both <= done else 0.1, LEARNS))) == []


def test_a_remedy_that_does_not_hold_makes_room_for_the_next(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.8, START))
    world = World(lambda done: 0.9 if done & names(START) else 0.5)
    lucky = world._end

    def end(changed, seed):
        if name_of(changed) == name_of(CLEAR):
            return run(LEARNS, [0.9 if seed == 0 else 0.4], changed, seed)
        return lucky(changed, seed)

    world._end = end
    made = examined(world)
    assert causes(made) == ["b"]
    assert [one.suspicion.cause for one, _ in made.failed] == ["a"]


def test_of_a_cause_the_second_proof_is_verified_where_the_first_does_not_hold(knows):
    knows(obstacle("a", 0.9, CLEAR, START), obstacle("b", 0.8, CLIP))
    world = World(lambda done: 0.8 if done & (names(START) | names(CLIP)) else 0.5)
    sure = world._end

    def end(changed, seed):
        if name_of(changed) == name_of(CLEAR):
            return run(LEARNS, [0.9 if seed == 0 else 0.4], changed, seed)
        return sure(changed, seed)

    world._end = end
    made = examined(world)
    assert (causes(made), made.remedy) == (["a"], START)
    assert [one.proof for one, _ in made.failed] == [CLEAR]
    assert [one["cause"] for one in ruled_out(made)] == []


def test_another_change_that_mends_as_much_is_told_as_an_alternative(knows):
    knows(obstacle("a", 0.9, CLEAR), obstacle("b", 0.8, START), obstacle("c", 0.8, CLIP))
    good = names(CLEAR) | names(START)
    told = findings(examined(World(lambda done: 0.9 if done & good else 0.3)))
    assert [(one["cause"], one["role"]) for one in told] == [("a", "cause"), ("b", "alternative")]
    first, other = told
    assert other["verified"] is None
    assert first["confidence"] + other["confidence"] <= 1.0
    assert [one["cause"] for one in first["symptoms"]] == ["c"]


def test_a_judgement_that_fails_is_noted_and_the_others_go_on(knows):
    def broken(seen):
        raise ZeroDivisionError("no steps")

    knows(("x", SimpleNamespace(CODE="x", judge=broken)), obstacle("b", 0.9, CLIP))
    made = examined(World(lambda done: 0.9 if names(CLIP) & done else 0.3))
    assert causes(made) == ["b"]
    assert made.trouble[0] == "x: ZeroDivisionError: no steps"


def test_no_more_trials_than_leave_time_to_verify(knows):
    knows(*(obstacle(f"c{i}", 0.9, (LearningRate(2.0 + i),)) for i in range(50)))
    world = World(lambda done: 0.5)
    world.seconds_left = 10.0  # a run takes one second, two at a time: 0.6 * 10 / 0.5
    Search(world, world.watch((), 60.0), MEASURE).run()
    assert len(world.asked) == 12


@pytest.mark.parametrize("strength, verdict", [(0.9, "unknown"), (0.59, "healthy")])
def test_what_time_was_too_short_to_try_is_not_called_healthy(knows, strength, verdict):
    knows(*(obstacle(f"c{i}", strength, (LearningRate(2.0 + i),)) for i in range(50)))
    world = World(lambda done: 0.5)
    world.seconds_left = 10.0
    made = examined(world)
    assert made.verdict()[0] == verdict
    assert ("which the evidence suspects" in made.verdict()[1]) == (verdict == "unknown")


def test_draws_are_the_same_for_a_seed_and_differ_between_seeds():
    seen = Evidence(World(lambda done: 0.5).watch((), 1.0).recording)
    assert [name_of(one) for one in draws(9, seen)] == [name_of(one) for one in draws(9, seen)]
    assert [name_of(one) for one in draws(9, seen, 1)] != [name_of(one) for one in draws(9, seen)]


def test_inputs_that_are_not_finite_are_not_standardized_blindly():
    recording = World(lambda done: 0.5).watch((), 1.0).recording
    recording.moments |= {"mean0": np.array([np.nan]), "std0": np.array([1.0]), "count0": 9}
    kinds = {one.kind for draw in draws(30, Evidence(recording)) for one in draw}
    assert "input-standardization" not in kinds
    assert "clipping" in kinds


# what a random change gives, what the remedy gives, and the verdict between them
CONTROLS = [
    (0.3, 0.9, "None of 6 random changes was better than none at all."),
    (0.6, 0.9, "The remedy is better than the best of 6 random changes."),
    (0.9, 0.91, "The remedy is as good as the best of 6 random changes."),
    (0.95, 0.6, "Not as good as the best of 6 random changes: there is more to be had"),
]


@pytest.mark.parametrize("blind, remedied, says", CONTROLS)
def test_the_control_says_what_chance_gives(blind, remedied, says):
    world = World(lambda done: blind if done else 0.3)
    base = world.watch((), 60.0)
    ends = [standing(run(LEARNS, [remedied]).recording, MEASURE, 0)] * 3
    found = controlled(world, base, 6, MEASURE, ends, (0, 1, 2))
    assert found.says().startswith(says)
    assert len(found.random) == (3 if blind > 0.3 else 0)
    assert found.as_data()["runs"] == 6


def test_the_control_takes_as_many_runs_as_the_search_and_no_more_than_it_may():
    for count, seconds, wanted in [(6, 1e3, 6), (99, 1e3, MOST), (9, 2.0, 2)]:
        world = World(lambda done: 0.2)
        world.seconds_left = seconds
        controlled(world, world.watch((), 60.0), count, MEASURE, ())
        assert len(set(world.asked)) <= wanted
    world.seconds_left = 0.0
    assert controlled(world, world.watch((), 60.0), 9, MEASURE, ()) is None


def test_both_controls_of_the_rate_are_always_tried(knows):
    knows()
    world = World(lambda done: 0.5)
    examined(world)
    assert {name_of(SLOW), name_of(FAST)} <= set(world.asked)


class Spoilt(World):
    """A world in which some seeds' data are no numbers."""

    def __init__(self, accuracy, spoilt):
        super().__init__(accuracy)
        self.spoilt = spoilt

    def _end(self, changed, seed):
        if seed in self.spoilt:
            return run([float("nan")] * 60, [0.0], changed, seed)
        return super()._end(changed, seed)


@pytest.mark.parametrize(
    ("spoilt", "seeds", "held"),
    [
        ((), (0, 1, 2), True),
        ((1,), (0, 2, 3), True),
        ((1, 2), (0, 3, 4), True),
        ((1, 3), (0, 2, 3), False),  # one replacement, then what is found is what counts
    ],
)
def test_seeds_that_spoil_the_data_are_replaced(spoilt, seeds, held):
    def accuracy(words):
        return 0.9 if words else 0.5

    world = Spoilt(accuracy, spoilt)
    search = Search(world, world.watch((), 60.0), MEASURE)
    world.make([SimpleNamespace(name=name_of(CLIP), interventions=CLIP, seed=0)], "")
    found = search._verify(CLIP)
    assert (found.seeds, found.held) == (seeds, held)


def test_seeds_stay_where_the_scripts_own_is_no_number():
    world = Spoilt(lambda words: 0.5, (0, 1, 2))
    search = Search(world, world.watch((), 60.0), MEASURE)
    world.make([SimpleNamespace(name=name_of(CLIP), interventions=CLIP, seed=0)], "")
    assert search._verify(CLIP).seeds == (0, 1, 2)
