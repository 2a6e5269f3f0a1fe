"""Every law lets sound optimizers pass and catches the faults that it is there for."""

import pytest
import torch
from broken_optimizers import MUTANTS
from sound_optimizer import Sound

from thalweg.testing import LAWS, check_optimizer

SOUND = {
    "Sound": (Sound, {}),
    "AdamW": (torch.optim.AdamW, {}),
    "AdamW with foreach": (torch.optim.AdamW, {"amsgrad": True, "foreach": True, "lr": 0.1}),
    "SGD": (torch.optim.SGD, {}),
    "SGD with momentum": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "lr": 0.1}),
}
WITHOUT_STATE = {("SGD", "state-is-swapped-in")}


@pytest.mark.parametrize("name", SOUND)
def test_sound_optimizers_keep_every_law(name):
    cls, settings = SOUND[name]
    verdicts = {o.law.name: o.verdict for o in check_optimizer(cls, **settings).outcomes}
    idle = [law for law in LAWS if (name, law) in WITHOUT_STATE]
    assert verdicts == {law: "not applicable" if law in idle else "kept" for law in LAWS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.cls.__name__)
def test_every_fault_is_found_and_named(mutant):
    (outcome,) = check_optimizer(mutant.cls, only=[mutant.law], strict=False).outcomes
    assert outcome.verdict == "broken"
    assert mutant.said in outcome.said


def test_every_law_has_a_fault_to_find():
    assert {mutant.law for mutant in MUTANTS} == LAWS.keys()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_every_law_says_what_it_demands_and_why(law):
    assert law.demand.endswith(".")
    assert law.why.endswith(".")
