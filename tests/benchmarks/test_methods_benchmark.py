"""The methods benchmark: it runs without other libraries, and its yardsticks measure."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from section import Aim, Section  # noqa: E402
from solving import cutest, line_searches, maxent, more_garbow_hillstrom, saddles  # noqa: E402
from solving.minimizers import MINIMIZERS, OURS, OURS_ENDLESS, let_run, taking_part  # noqa: E402
from solving.watched import Ended, Problem, Watched  # noqa: E402

from thalweg.landscapes.lines import PUBLISHED_LINES  # noqa: E402
from thalweg.minimize import minimize  # noqa: E402

ROWS = "line_searches,cutest,maxent"


def bowl(x):
    return float(x @ x) / 2, x


def watched(most=50):
    return Watched(Problem("bowl", np.array([3.0, -4.0]), bowl), most)


def test_a_run_prints_what_it_saves(tmp_path):
    command = [sys.executable, BENCHMARKS / "methods.py", "--quick", "--rows", ROWS]
    command += ["--peers", "", "--save", tmp_path, "--json", tmp_path / "all.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "methods-cpu.md").read_text() == done.stdout.rstrip("\n") + "\n"
    sections = json.loads((tmp_path / "all.json").read_text())
    assert sections[0]["title"] == "Line searches"
    met = {aim["words"]: aim["met"] for section in sections for aim in section["aims"]}
    assert all(met.values()), met


def test_an_unknown_row_is_refused():
    command = [sys.executable, BENCHMARKS / "methods.py", "--rows", "cutests"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'cutests': choose among line_searches" in done.stderr


def test_a_problem_ends_where_it_is_solved():
    problem = watched()
    assert problem(np.array([1.0, 1.0]))[0] == 1.0
    with pytest.raises(Ended):
        problem(np.array([1e-7, 1e-7]))
    assert (problem.taken, problem.solved_at) == (2, 2)


def test_a_problem_ends_where_its_evaluations_are_spent():
    problem = watched(most=1)
    problem(np.ones(2))
    with pytest.raises(Ended):
        problem(np.ones(2))
    assert (problem.taken, problem.solved_at) == (1, None)


def test_a_gradient_is_held_against_a_large_loss():
    lifted = Problem("lifted", np.zeros(1), lambda x: (1e6, np.array([0.9])))
    with pytest.raises(Ended):
        Watched(lifted, 9)(np.zeros(1))


def test_autograd_differentiates_a_problem_by_its_own_gradient():
    problem = watched()
    x = torch.tensor([2.0, 1.0], dtype=torch.float64, requires_grad=True)
    (3 * problem.differentiable(x)).backward()
    assert x.grad.tolist() == [6.0, 3.0]
    assert problem.taken == 1


def test_a_problem_is_computed_once_at_each_point_and_ends_with_its_time():
    asked = []
    counted = Problem("bowl", np.ones(2), lambda x: asked.append(1) or bowl(x))
    known = cutest.remembering(counted)
    first, again = (known.function(np.array([3.0, 4.0])) for _ in range(2))
    again[1][:] = 0.0  # whoever changes what it was given changes nobody else's
    assert (len(asked), first[0], known.function(np.array([3.0, 4.0]))[1].tolist()) == (
        1,
        12.5,
        [3.0, 4.0],
    )
    with pytest.raises(cutest.TooSlow):
        cutest.remembering(counted, cap=-1.0).function(np.ones(2))


def test_rows_of_a_sparse_matrix_are_what_is_asked_of_it():
    from scipy.sparse import csr_matrix
    from solving.s2mpj import Rows

    sparse = csr_matrix(np.array([[1.0, 0.0, -2.0], [0.0, 3.0, 0.0]]))
    rows = Rows(sparse)
    assert rows.shape == sparse.shape
    for i in range(2):
        assert (rows[i, :3].T.toarray() == sparse[i, :3].T.toarray()).all()


def test_source_is_evaluated_where_it_stands():
    from solving.s2mpj import evaluated

    here = 3.0
    assert evaluated(" here + 1") == 4.0
    here = 5.0
    assert evaluated(" here + 1") == here + 1


@pytest.mark.parametrize("name", [OURS, OURS_ENDLESS, "scipy L-BFGS-B", "torch LBFGS, mended"])
def test_minimizers_solve_a_bowl(name):
    problem = watched()
    let_run(MINIMIZERS[name][1], problem)
    assert problem.solved_at is not None


def test_who_is_not_asked_for_takes_no_part():
    assert list(taking_part(())) == [OURS, OURS_ENDLESS]


def test_a_step_that_breaks_the_conditions_is_a_failure():
    stuck = line_searches.tally(lambda line, first: 1e-12, line_searches.Line.strong_wolfe)
    assert len(stuck.failures) == 4 * len(PUBLISHED_LINES)


def test_maxent_has_its_gradient_and_its_published_minimum():
    x = np.array([0.3, -0.2, 0.5])
    steps = 1e-6 * np.eye(3)
    differences = [(maxent.function(x + s)[0] - maxent.function(x - s)[0]) / 2e-6 for s in steps]
    assert maxent.function(x)[1] == pytest.approx(differences, abs=1e-8)
    at_minimum = maxent.function(np.array([0.0, -0.524869316, 0.487525860]))[1]
    assert np.abs(at_minimum).max() < 1e-6  # as far as scipy's tests know it


def test_what_is_compared_is_what_both_solve():
    names = (OURS, OURS_ENDLESS, "x")
    seen = {"a": (10, 10, 20), "b": (None, 30, 5), "c": (4, 4, None), "d": (6, 6, 3)}
    seen = {key: dict(zip(names, found, strict=True)) for key, found in seen.items()}
    section = Section("", "", cutest.HEAD)
    cutest.fill(section, seen, quick=False)
    assert section.rows[2][:4] == ["x", "3", "23", "16"]
    assert section.rows[2][-1] == f"{20 + 5 + cutest.MOST + 3:,}"
    assert [aim.value for aim in section.aims[:3]] == [0, -1, pytest.approx(16 / 23)]


def test_what_scipy_alone_solves_is_missed():
    seen = {"a": {OURS: None, "scipy CG": 7}, "b": {OURS: 4, "scipy CG": 3}}
    missed = more_garbow_hillstrom.lost(seen)
    assert isinstance(missed, Aim)
    assert missed.line() == (
        "* problems that one of scipy's solves and ours does not: a, **missed**"
    )


MIRRORS = {
    "x² - y² + y⁴/4": lambda w: w * torch.tensor([1.0, -1.0]),
    "monkey saddle": lambda w: w * torch.tensor([1.0, -1.0]),
    "deep linear net at 0": lambda w: torch.cat([-w[:8], w[8:]]),
    "symmetric MLP": lambda w: w.view(4, 2).flip(1).flatten(),
}


@pytest.mark.parametrize("case", [*saddles.saddles()], ids=lambda case: case.name)
def test_gradients_never_leave_the_mirror_that_a_saddle_lies_in(case):
    mirrored = MIRRORS[case.name]
    w = torch.randn(len(case.start), generator=torch.Generator().manual_seed(1)).double()
    assert float(case.loss(mirrored(w))) == pytest.approx(float(case.loss(w)), rel=1e-12)
    assert torch.equal(mirrored(case.start), case.start)


@pytest.mark.parametrize("case", [*saddles.saddles()], ids=lambda case: case.name)
def test_there_is_something_lower_than_a_saddle(case):
    assert minimize(case.loss, case.start).value < case.bar


@pytest.mark.parametrize(
    "value, said, word",
    [(-1.0, "minimum", "escaped"), (0.0, "saddle", "named"), (0.0, "minimum", "success")],
)
def test_verdicts(value, said, word):
    assert saddles.verdict(next(saddles.saddles()), value, said) == word
