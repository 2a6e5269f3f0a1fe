"""Whole scripts with one real fault: the doctor names it first and verifies its remedy.

Each script of ``scripts/`` that ends in ``_faulty.py`` has a sibling in which that fault is mended
by hand; those that end in ``_healthy.py`` cannot be bettered by another rate or by Adam at its
usual one. The scripts know nothing of the doctor and were written without it.
"""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import thalweg
from thalweg.doctor import diagnose
from thalweg.interventions import from_data
from thalweg.obstacles.registry import OBSTACLES
from thalweg.report.json import plain

SCRIPTS = Path(__file__).parent / "scripts"
SCHEMA = json.loads((Path(thalweg.__file__).parent / "report" / "schema.json").read_text())

# Script and cause: a core, of which every fault is sought, then the slow rest: the first alone.
CAUSES = [
    ("rings_momentum", "learning-rate-too-high"),
    ("clusters_adagrad", "learning-rate-too-low"),
    ("neighbours_regression", "ill-conditioning"),
    ("cancer_tanh", "unscaled-inputs"),
    ("moons_by_hand", "stale-gradients"),
    ("quantiles_functional", "symmetric-initialization"),
]
HEALTHY = ["accumulated_cosine", "closure_ridge"]
CAUSES_SLOW = [
    ("friedman_adamw", "learning-rate-too-high"),
    ("digits_warmup", "learning-rate-too-low"),
    ("kernel_bumps", "ill-conditioning"),
    ("weather_gru", "unscaled-inputs"),
    ("two_optimizers", "stale-gradients"),
    ("impedance_randn", "initialization-scale"),
    ("timid_start", "initialization-scale"),
    ("shapes_conv", "symmetric-initialization"),
    ("pendulum_rollouts", "exploding-gradient"),
    ("narrow_sigmoids", "vanishing-gradient"),
    ("first_bit_rnn", "vanishing-gradient"),
    ("ink_positive_weights", "dead-units"),
    ("shifted_rectifier", "dead-units"),
    ("softmax_into_nll", "loss-output-mismatch"),
    ("sigmoid_then_logits", "loss-output-mismatch"),
    ("forgotten_embedding", "untrained-parameters"),
    ("momentum_typo", "optimizer-setting"),
    ("concatenated_classes", "unshuffled-data"),
    ("rare_defects", "class-imbalance"),
    ("progress_tanh", "output-range"),
    ("left_over_maximize", "ascending"),
    ("dropout_at_test", "train-eval-mode"),
    ("memorized_noise", "overfitting"),
    ("heavy_dropout", "over-regularization"),
    ("rectified_attention", "non-finite"),
    ("brain_float", "low-precision"),
]
MISSED = {
    ("products_network", "exploding-gradient"): "of a run that leaves the numbers, a tenth of the "
    "rate and an activation between its linear layers make as good a run as clipping does",
    ("features_without_graph", "untrained-parameters"): "what a block without gradients cuts off "
    "is seen to have none, but nothing yet suspects it",
}
HEALTHY_SLOW = [
    "autocast_moons", "lstm_counter", "conv_batchnorm", "noisy_labels", "gan_line",
    "imbalanced_separable", "functional_spiral",
]  # fmt: skip


def marked_slow(rows):
    """The rows marked slow; a row is told by its first word."""
    return [pytest.param(*row, marks=pytest.mark.slow, id=row[0]) for row in rows]


def missed():
    """The scripts that are not diagnosed right as yet, with the reason."""
    return [
        pytest.param(*row, marks=[pytest.mark.slow, pytest.mark.xfail(reason=why)], id=row[0])
        for row, why in MISSED.items()
    ]


def diagnosed(name):
    """The diagnosis of a script, after a check of its report's form."""
    # The control costs as much as the search; tests of it are in test_search.py. A short script
    # takes a small part of the budget, also on a machine with much else to do.
    found = diagnose(SCRIPTS / f"{name}.py", budget=600, control=False)
    Draft202012Validator(SCHEMA).validate(
        json.loads(json.dumps(plain(found.data), allow_nan=False))
    )
    return found


@pytest.mark.usefixtures("imported_once")
@pytest.mark.parametrize("name, cause", CAUSES, ids=[name for name, _ in CAUSES])
def test_the_cause_is_named_first_and_its_remedy_verified(name, cause):
    is_first_and_verified(cause, diagnosed(f"{name}_faulty"))


@pytest.mark.usefixtures("imported_once", "first_fault_only")
@pytest.mark.parametrize("name, cause", marked_slow(CAUSES_SLOW) + missed())
def test_the_cause_of_more_scripts_is_named_first(name, cause):
    is_first_and_verified(cause, diagnosed(f"{name}_faulty"))


def is_first_and_verified(cause, found):
    assert found.verdict == "obstructed", found.reason
    first = found.data["findings"][0]
    assert first["cause"] == cause, first["summary"]
    verified = first["verified"]
    assert verified["held"]
    assert len(verified["seeds"]) >= 3
    assert verified["gain"] is None or verified["gain"] > 0
    assert [from_data(one).as_data() for one in first["remedy"]["interventions"]] == (
        first["remedy"]["interventions"]
    )
    assert first["remedy"]["says"]


@pytest.mark.usefixtures("imported_once")
@pytest.mark.parametrize("name", HEALTHY + marked_slow([(one,) for one in HEALTHY_SLOW]))
def test_a_healthy_script_is_accused_of_nothing(name):
    found = diagnosed(f"{name}_healthy")
    assert found.verdict != "obstructed", found.reason
    assert found.data["findings"] == []


def test_every_required_cause_has_a_script():
    required = {
        "learning-rate-too-high", "learning-rate-too-low", "ill-conditioning", "unscaled-inputs",
        "stale-gradients", "symmetric-initialization", "initialization-scale",
        "exploding-gradient", "vanishing-gradient", "dead-units", "loss-output-mismatch",
        "untrained-parameters",
    }  # fmt: skip
    covered = {cause for _, cause in CAUSES + CAUSES_SLOW}
    assert required <= covered <= set(OBSTACLES)


def test_every_faulty_script_has_a_mended_sibling_that_differs_in_little():
    for faulty in SCRIPTS.glob("*_faulty.py"):
        mended = faulty.with_name(faulty.name.replace("_faulty", "_fixed"))
        before, after = faulty.read_text().splitlines(), mended.read_text().splitlines()
        assert 0 < len(set(before) ^ set(after)) <= 8, faulty.name
