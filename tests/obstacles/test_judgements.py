"""Every obstacle's judgement: raised just above its threshold, not below, and never a crash."""

import copy
import importlib
import json
import math
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from judgement_table import ABOVE, BELOW
from made_recordings import empty, healthy, seen

from thalweg import obstacles
from thalweg.interventions import from_data
from thalweg.obstacles.registry import OBSTACLES
from thalweg.report.json import plain

# The vocabulary of a diagnosis: what an obstacle may be called.
CODES = frozenset(
    """
    learning-rate-too-high learning-rate-too-low ill-conditioning gradient-noise
    optimizer-setting weak-optimizer vanishing-gradient exploding-gradient cliff dead-units
    saturated-units symmetric-initialization initialization-scale saddle-point plateau
    unscaled-inputs unscaled-targets unshuffled-data mislabeled-data class-imbalance
    loss-output-mismatch output-range stale-gradients untrained-parameters ascending
    train-eval-mode bad-architecture overfitting over-regularization underfitting
    stopped-too-early non-finite low-precision
    """.split()  # noqa: SIM905
)
HEADINGS = (
    "What it is",
    "How it is measured",
    "When not to trust it",
    "How it is proved",
    "References",
)
ALWAYS = {
    "learning-rate-too-high", "learning-rate-too-low", "ill-conditioning", "weak-optimizer",
}  # fmt: skip
FOLDER = Path(obstacles.__file__).parent
SCHEMA = json.loads((FOLDER.parent / "report" / "schema.json").read_text())
EVIDENCE = SCHEMA | {"$ref": "#/$defs/evidence"}
NOT_OBSTACLES = {"__init__", "evidence", "registry", "suspicion"}
above = [
    pytest.param(code, make, id=f"{code}: {n}") for code in ABOVE for n, make in ABOVE[code].items()
]
below = [
    pytest.param(code, make, id=f"{code}: {n}") for code in BELOW for n, make in BELOW[code].items()
]
every_obstacle = pytest.mark.parametrize("code", OBSTACLES)


@every_obstacle
def test_has_rows_in_both_tables(code):
    assert ABOVE.get(code), f"no recording raises {code}: add one to judgement_table.py"
    assert BELOW.get(code), f"no recording comes close to {code}: add one to judgement_table.py"


@pytest.mark.parametrize("code, make", above)
def test_raised_above_its_threshold(code, make):
    found = OBSTACLES[code].judge(seen(make()))
    assert found is not None
    assert found.cause == code
    assert 0.5 < found.strength <= 1


@pytest.mark.parametrize("code, make", below)
def test_not_raised_below_its_threshold(code, make):
    found = OBSTACLES[code].judge(seen(make()))
    assert found is None or found.strength <= 0.5


@every_obstacle
def test_a_healthy_run_raises_nothing_strong(code):
    found = OBSTACLES[code].judge(seen(healthy()))
    assert found is None or (code in ALWAYS and found.strength <= 0.5)


@every_obstacle
def test_nothing_recorded_raises_nothing(code):
    assert OBSTACLES[code].judge(seen(empty())) is None


@every_obstacle
@pytest.mark.parametrize("losses", [[], [1.0], [math.nan], [math.nan] * 40, [0.0] * 40], ids=str)
def test_odd_losses_do_not_crash(code, losses):
    made = healthy(losses)
    OBSTACLES[code].judge(seen(made))
    made.samples = []
    OBSTACLES[code].judge(seen(made))


@pytest.mark.parametrize("code, make", above)
def test_says_what_it_saw(code, make):
    found = OBSTACLES[code].judge(seen(make()))
    assert re.fullmatch(r"\w.*\.", found.summary)
    assert found.evidence
    Draft202012Validator(EVIDENCE).validate(plain(found.evidence))
    assert all(piece["says"] for piece in found.evidence.values())


@pytest.mark.parametrize("code, make", above)
def test_offers_proofs_that_can_be_made(code, make):
    found = OBSTACLES[code].judge(seen(make()))
    assert found.proofs or found.controls
    for change in (*found.proofs, *found.unless, *found.controls):
        assert change
        for one in change:
            data = json.loads(json.dumps(one.as_data()))
            assert from_data(data).as_data() == one.as_data()
            assert one.says()


@pytest.mark.parametrize("code, make", above)
def test_judging_changes_nothing(code, make):
    recording = make()
    before = copy.deepcopy((recording.steps, recording.samples, recording.summary))
    first, second = (OBSTACLES[code].judge(seen(recording)) for _ in range(2))
    assert first == second
    assert (recording.steps, recording.samples, recording.summary) == before


# What a recorder writes as None where it is not finite.
MAY_BE_MISSING = (
    "loss norm gradient update output gain rms dead saturated scale through_time value "  # noqa: SIM905
    "own_fall others_fall upper gain_condition reconstruction".split()
)
RANGE = ["min", "max", "mean", "std"]  # missing together


def blanked(part, names):
    """The same data with None wherever one of these names holds a number."""
    if isinstance(part, dict):
        return {
            k: None if k in names and isinstance(v, int | float) else blanked(v, names)
            for k, v in part.items()
        }
    return [blanked(one, names) for one in part] if isinstance(part, list) else part


MISSING = {one: [one] for one in MAY_BE_MISSING} | {"all": MAY_BE_MISSING, "range": RANGE}


@pytest.mark.parametrize("code, make", [*above, *below])
@pytest.mark.parametrize("missing", MISSING)
def test_numbers_that_are_not_finite_do_not_crash(code, make, missing):
    recording = make()
    for part in ("steps", "samples", "readings"):
        setattr(recording, part, blanked(getattr(recording, part), MISSING[missing]))
    found = OBSTACLES[code].judge(seen(recording))
    assert found is None or 0 < found.strength <= 1


@every_obstacle
def test_inputs_that_are_not_finite_do_not_crash(code):
    made = healthy()
    for array in made.moments.values():
        array[...] = math.nan if array.dtype.kind == "f" else 0
    found = OBSTACLES[code].judge(seen(made))
    assert found is None or found.strength <= 1


@every_obstacle
def test_its_code_is_in_the_vocabulary_and_names_its_file(code):
    assert code in CODES
    module = importlib.import_module(f"thalweg.obstacles.{code.replace('-', '_')}")
    assert module is OBSTACLES[code]
    assert code == module.CODE


@every_obstacle
def test_its_docstring_has_every_heading_in_order(code):
    text = OBSTACLES[code].__doc__
    assert re.findall(r"^(?! )(.+)\n    ", text, re.MULTILINE)[-5:] == list(HEADINGS)


def test_every_file_is_an_obstacle_or_a_part_that_all_share():
    files = {path.stem for path in FOLDER.glob("*.py")} - NOT_OBSTACLES
    assert files == {code.replace("-", "_") for code in OBSTACLES}
