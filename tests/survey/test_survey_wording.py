"""The sentences of a survey, what of several answers is kept, and what arguments are refused."""

import pytest

from thalweg.survey import Survey, survey
from thalweg.survey.plain import best_ends
from thalweg.survey.wording import rate_says, unreached

RATES = {
    14.2: "14.2 times the maximal rate: steps overshoot",
    1.1: "110% of the maximal rate: at the edge of stability",
    0.8: "80% of the maximal rate: at the edge of stability",
    0.5: "0.5 of the maximal rate",
    0.1: "0.1 of the maximal rate",
    0.0262: "38 times below the maximal rate",
    1e-9: "1.0e+09 times below the maximal rate",
    0.0: "none is too large where nothing is curved upwards",
}


@pytest.mark.parametrize("share", RATES)
def test_a_rate_is_told_by_its_share_of_the_maximal_one(share):
    assert RATES[share] in rate_says(share)


UNREACHED = {
    "finished": "the script ended after 7 steps",
    "seconds": "the time was over after 7 steps",
    "crashed": "the script failed after 7 steps (ValueError: no)",
    "killed": "the script was killed after 7 steps (ValueError: no)",
    "interrupted": "the run was stopped after 7 steps",
}


@pytest.mark.parametrize("ended", UNREACHED)
def test_a_step_that_was_not_reached_has_its_reason(ended):
    assert unreached(100, 7, ended, "ValueError: no") == UNREACHED[ended]


def test_a_step_that_was_made_and_not_seen_is_told_apart():
    assert unreached(3, 7, "finished", "") == (
        "it was made, and no loss was seen of which it could be replayed"
    )
    assert "the time was over before it was answered" in unreached(3, 4, "seconds", "")
    assert unreached(3, 1, "finished", "") == "the script ended after one step"


def end(value, error):
    return {"value": value, "error": error}


def test_of_several_ends_the_surest_is_kept():
    answers = [
        {"ends": {"largest": end(2.0, 0.1), "smallest": end(-1.0, 0.01)}},
        {"largest": end(2.1, 0.001)},
        {"failed": "no"},
    ]
    assert best_ends(answers) == {"largest": end(2.1, 0.001), "smallest": end(-1.0, 0.01)}


def test_a_coarser_rounding_is_added_as_a_share_of_the_largest():
    answers = [{"largest": end(2.0, 0.1), "smallest": end(-4.0, 0.2)}]
    found = best_ends(answers, rounding=0.25)
    errors = [found[name]["error"] for name in ("largest", "smallest")]
    assert errors == pytest.approx([1.1, 1.2])


def test_nothing_found_has_no_ends():
    assert best_ends([{"failed": "no"}], 0.1) == {"largest": None, "smallest": None}


def test_a_survey_is_complete_when_every_step_was_answered():
    step = {"step": 0}
    assert Survey({"steps": [step], "missing": []}).complete
    assert not Survey({"steps": [step], "missing": [{"step": 3}]}).complete
    assert not Survey({"steps": [step | {"failed": "no"}], "missing": []}).complete


@pytest.mark.parametrize(
    "options, says",
    [
        ({"at": ()}, r"at=\(\): give numbers of steps, from 0"),
        ({"at": (-1,)}, r"at=\(-1,\): give"),
        ({"at": (0.5,)}, r"at=\(0.5,\): give"),
        ({"at": (True,)}, r"at=\(True,\): give"),
        ({"products": 19}, "products=19: give at least 20"),
        ({"seed": -1}, "seed=-1: give 0 or more"),
        ({"budget": 0}, "budget=0: give a positive number of seconds"),
        ({"budget": float("inf")}, "budget=inf: give"),
    ],
)
def test_arguments_out_of_their_domain_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        survey(__file__, **options)


def test_a_script_must_be_there():
    with pytest.raises(ValueError, match="there is no such file"):
        survey("no such script.py")
