"""A session whose listeners only look changes nothing: the same numbers bit for bit."""

import pytest
import torch
from observing import recorded, run, same
from training_programs import COMPILED, PROGRAMS, UNPLAYABLE

from thalweg.recorder import Listener


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_recording_in_full_changes_nothing(name, tmp_path):
    program = PROGRAMS[name]
    plain = run(program)
    watched, recording = recorded(program, tmp_path, [lambda step: {}])
    same(plain, watched)
    assert recording.summary["trouble"] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_listener_without_events_changes_nothing(name):
    same(run(PROGRAMS[name]), run(PROGRAMS[name], [Listener()]))


def frames():
    """How many pieces of code were given to the compiler, and how many it compiled."""
    return sum(torch._dynamo.utils.counters["frames"].values())


@pytest.fixture
def counted():
    torch._dynamo.reset()  # imports it, which takes seconds
    torch._dynamo.utils.counters.clear()


@pytest.mark.compile
@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("name", COMPILED)
def test_a_recording_of_compiled_code_changes_nothing(name, tmp_path):
    plain, compiled = run(COMPILED[name]), frames()
    watched, recording = recorded(COMPILED[name], tmp_path)
    assert frames() == 2 * compiled > 0  # nothing is left to be run as it stands, nothing twice
    plain.warnings = watched.warnings = []  # the first to compile imports much that warns
    same(plain, watched)
    assert recording.losses()
    assert recording.summary["trouble"] == []


def test_programs_that_cannot_be_played_are_in_the_table():
    assert set(UNPLAYABLE) <= set(PROGRAMS)
