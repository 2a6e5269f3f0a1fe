"""An obstacle is found where it is by construction, absent where it is not, and mended by a proof.

The trainings are recorded as the doctor records them, with every probe.
"""

import math
import warnings

import pytest
import torch
from known_truth import PROGRAMS

from thalweg.interventions import from_data
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.probes import PROBES
from thalweg.obstacles.registry import OBSTACLES
from thalweg.recorder import Recorder, Recording, Session

NEW = {code for code, _ in PROGRAMS.values()}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(name, faulty, listeners):
    torch.manual_seed(7)
    with Session(list(listeners)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PROGRAMS[name][1](faulty)


def watched(name, faulty, folder):
    score = run(name, faulty, [Recorder(folder, folder, PROBES)])
    return score, Evidence(Recording.read(folder))


def judged(seen):
    return {code: found for code in NEW if (found := OBSTACLES[code].judge(seen))}


@pytest.mark.parametrize("name", PROGRAMS)
def test_found_where_it_is_and_mended(name, tmp_path):
    code, _ = PROGRAMS[name]
    score, seen = watched(name, True, tmp_path)
    found = judged(seen)
    assert code in found
    assert found[code].strength > 0.5
    others = [one.strength for other, one in found.items() if other != code]
    assert max(others, default=0.0) <= found[code].strength
    ends = (run(name, True, [from_data(c.as_data()) for c in p]) for p in found[code].proofs)
    assert any(end < 0.75 * score for end in ends) or not found[code].proofs
    for control in found[code].controls:
        end = run(name, True, [from_data(one.as_data()) for one in control])
        assert end <= 1.1 * score


@pytest.mark.parametrize("name", PROGRAMS)
def test_absent_where_it_is_not(name, tmp_path):
    _, seen = watched(name, False, tmp_path)
    strong = {code: one.summary for code, one in judged(seen).items() if one.strength > 0.5}
    assert not strong
    assert math.isfinite(seen.final_loss)
