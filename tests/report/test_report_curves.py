"""What is done to a curve before it is drawn: nothing that a reader came for may be lost."""

import math
import random

import numpy as np
import pytest

from thalweg.report import curves
from thalweg.report.curves import Curve
from thalweg.report.proof import changed_trial, mean
from thalweg.report.scales import scale_of, ticks
from thalweg.report.sparkline import ASCII_BLOCKS, BLOCKS, sparklines
from thalweg.report.tables import AS_IT_IS, CHANGED, line_tables, seed_tables

SOURCE = random.Random(0)


def noise(count):
    return [SOURCE.gauss(5, 1) for _ in range(count)]


def with_breaks(values, *places):
    return [None if i in places else value for i, value in enumerate(values)]


CURVES = {
    "empty": [],
    "one point": [1.0],
    "one break": [None],
    "falling": [1 / (1 + i) for i in range(5000)],
    "noisy": noise(10_000),
    "constant": [2.0] * 3000,
    "spike": [1.0] * 1234 + [1e9] + [1.0] * 4321,
    "diverging": [10.0 ** (i / 10) for i in range(50)] + [None] * 1000,
    "one hole": with_breaks(noise(5000), 2345),
    "never finite": [None] * 5000,
    "first broken": with_breaks(noise(1000), 0),
    "last broken": with_breaks(noise(1000), 999),
    "negative": [-value for value in noise(700)],
}


@pytest.fixture(params=CURVES, ids=str)
def curve(request):
    values = CURVES[request.param]
    return Curve([7 * i for i in range(len(values))], values)


def points(curve):
    return list(zip(curve.steps, curve.values, strict=True))


@pytest.mark.parametrize("most", [50, 400])
def test_thinning_keeps_ends_extremes_and_breaks(curve, most):
    thin = curves.thinned(curve, most)
    assert len(thin.steps) == len(thin.values) <= most + 3
    assert set(points(thin)) <= set(points(curve))
    assert list(thin.steps) == sorted(thin.steps)
    assert points(thin)[:1] == points(curve)[:1]
    assert points(thin)[-1:] == points(curve)[-1:]
    finite = curves.finite(curve.values)
    if finite:
        assert min(finite) in thin.values
        assert max(finite) in thin.values
    assert curves.break_step(thin) == curves.break_step(curve)


def test_short_curves_are_not_thinned():
    curve = Curve(list(range(400)), noise(400))
    assert curves.thinned(curve) == curve


def test_smoothing_is_a_running_median():
    values = noise(4000)
    smooth = curves.smoothed(Curve(list(range(4000)), values))
    reach = 4000 // 80
    for step, value in points(smooth):
        window = values[max(0, step - reach) : step + reach + 1]
        assert value == pytest.approx(np.median(window), rel=1e-15)


def test_smoothing_keeps_ends_and_breaks(curve):
    smooth = curves.smoothed(curve)
    assert (smooth.steps[:1], smooth.steps[-1:]) == (curve.steps[:1], curve.steps[-1:])
    assert len(smooth.steps) <= max(2 * curves.POINTS, curves.SMOOTH_FROM)
    by_step = dict(points(curve))
    assert all((value is None) == (by_step[step] is None) for step, value in points(smooth))


def test_smoothing_commutes_with_the_logarithm():
    values = [math.exp(value) for value in noise(2001)]
    steps = list(range(2001))
    one = curves.smoothed(Curve(steps, values)).values
    two = curves.smoothed(Curve(steps, [math.log(value) for value in values])).values
    # Windows at the ends may hold an even number of values, whose median is a mean of two.
    inner = slice(20, -20)
    assert [math.log(v) for v in one[inner]] == pytest.approx(list(two[inner]), rel=1e-12)


def test_a_curve_settles_at_the_median_of_its_tail():
    values = noise(990) + [3.0] * 49 + [1e6]
    assert curves.settled(Curve(list(range(1040)), values)) == 3.0


@pytest.mark.parametrize("name", ["empty", "one break", "never finite", "last broken", "diverging"])
def test_a_broken_curve_settles_nowhere(name):
    values = CURVES[name]
    assert curves.settled(Curve(list(range(len(values))), values)) is None


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([1, 31], False),
        ([1, 32], True),
        ([0.001, None, 0.2], True),
        ([0, 1e6], False),
        ([-1e-9, 1e6], False),
        ([None], False),
        ([], False),
        ([5], False),
    ],
)
def test_a_logarithmic_scale_is_for_decades(values, logarithmic):
    assert curves.spans_decades(values) is logarithmic


@pytest.mark.parametrize(
    ("values", "jagged"),
    [
        (noise(500), True),
        ([1 / (1 + i) for i in range(500)], False),
        ([math.sin(i / 20) for i in range(500)], False),
        ([(-1) ** i for i in range(500)], True),
        ([1.0] * 500, False),
        (noise(30), False),
    ],
)
def test_jagged_curves_are_told_from_smooth_ones(values, jagged):
    assert curves.is_jagged(Curve(list(range(len(values))), values)) is jagged


def test_a_scale_holds_every_value_unless_it_says_so(curve):
    scale = scale_of({AS_IT_IS: curve}, CHANGED)
    finite = curves.finite(curve.values)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in finite)
    assert not scale.cut
    assert scale.low >= 0 or min(finite) < 0


def test_a_diverging_curve_does_not_flatten_the_other():
    wild = Curve([0, 1, 2], [1.0, 1e6, 1e30])
    tame = Curve([0, 1, 2], [1.0, 0.1, 0.01])
    scale = scale_of({AS_IT_IS: wild, CHANGED: tame}, CHANGED)
    assert scale.cut
    assert scale.logarithmic
    assert scale.low < 0.01
    assert 1e3 <= scale.high <= 1.3e3


@pytest.mark.parametrize("low", [1e-30, 1e-7, 0.003, 0.9, 40.0])
@pytest.mark.parametrize("decades", [1.6, 2.1, 4, 9, 31])
def test_ticks_are_few_round_and_inside(low, decades):
    scale = scale_of({AS_IT_IS: Curve([0, 1], [low, low * 10**decades])}, CHANGED)
    marks = ticks(scale)
    assert 2 <= len(marks) <= 12
    assert all(scale.low <= mark <= scale.high for mark in marks)
    assert all(f"{mark:.0e}"[0] in "125" for mark in marks)


def test_tables_hold_the_curves_and_no_empty_table(curve):
    tables = line_tables({AS_IT_IS: curve}, math.inf)
    assert all(tables.values())
    rows = tables.get("lines", [])
    assert {row["run"] for row in rows} <= {AS_IT_IS}
    assert all(math.isfinite(row["value"]) for row in rows if row["value"] is not None)
    assert bool(tables.get("faint")) == curves.is_jagged(curve)


def test_a_break_is_marked_where_the_curve_was_last_finite():
    curve = Curve([0, 10, 20, 30], [1.0, 500.0, None, 2.0])
    (row,) = line_tables({AS_IT_IS: curve}, 100.0)["crosses"]
    assert row == {"run": AS_IT_IS, "step": 10, "value": 100.0, "note": "not finite from step 20"}


def test_seed_tables_leave_out_what_was_not_finite():
    verified = {"seeds": [0, 1], "before": [None, 0.1], "after": [0.9, 0.8]}
    tables = seed_tables(verified)
    assert tables["spans"] == [{"seed": "seed 1", "before": 0.1, "after": 0.8}]
    assert [row["value"] for row in tables["points"]] == [0.9, 0.1, 0.8]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_sparklines_share_their_scale_and_steps(ascii_only):
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    high = Curve(list(range(100)), [8.0] * 100)
    low = Curve(list(range(50)), [1.0] * 50)
    one, two = sparklines([high, low], 20, ascii_only=ascii_only)
    assert one == blocks[-1] * 20
    assert set(two) == {blocks[0]}
    assert len(two) in (10, 11)


def test_a_sparkline_falls_with_its_curve(curve):
    (line,) = sparklines([curve], 24)
    assert len(line) <= 24
    assert set(line) <= set(BLOCKS + "×")
    if curve.values and set(curve.values) == {None}:
        assert set(line) == {"×"}


def test_a_sparkline_is_logarithmic_over_decades():
    values = [10.0**-power for power in range(8)]
    assert sparklines([Curve(list(range(8)), values)], 8) == [BLOCKS[::-1]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 3.0], 2.0), ([], None), ([1.0, None], None), ([None], None)],
)
def test_a_mean_with_a_number_that_was_not_finite_is_not_finite(values, expected):
    assert mean(values) == expected


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([], None),
        ([("no curve", "wanted", 0, 1.0, [])], None),
        ([("never finite", "wanted", 0, 1.0, [None])], None),
        ([("a", "other", 0, 0.9, [1.0]), ("b", "wanted", 0, 0.2, [1.0])], "b"),
        ([("a", "wanted", 1, 0.9, [1.0]), ("b", "wanted", 0, 0.2, [1.0])], "b"),
        ([("a", "other", 0, 0.1, [1.0]), ("b", "other", 0, 0.2, [1.0])], "b"),
        ([("a", "other", 0, None, [1.0]), ("b", "other", 0, -0.2, [1.0])], "b"),
    ],
)
def test_the_remedys_own_run_is_shown(trials, expected):
    def trial(name, kind, seed, gain, values):
        loss = {"steps": list(range(len(values))), "values": values}
        changes = [{"kind": kind}]
        parts = {"name": name, "interventions": changes, "seed": seed, "gain": gain}
        return parts | {"loss": loss, "measure": None}

    finding = {
        "remedy": {"interventions": [{"kind": "wanted"}]},
        "trials": [trial(*parts) for parts in trials],
    }
    found = changed_trial(finding, {"seed": 0})
    assert (found and found["name"]) == expected
