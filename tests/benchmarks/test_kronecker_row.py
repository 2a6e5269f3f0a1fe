"""The row on K-FAC: it runs without other libraries, and sees an error of ours."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from section import Scale  # noqa: E402
from solving import kronecker  # noqa: E402
from solving.kronecker import CASES, columns_of, dense_fisher, factors, spread  # noqa: E402


def test_our_figures_are_those_of_the_definition():
    section = kronecker.measure(Scale())
    assert {row[0] for row in section.rows} == {"thalweg"}
    assert [row[1] for row in section.rows] == list(CASES)
    assert all(aim.met for aim in section.aims)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("figure", ["trace", "distance", "exact", "pi"])
def test_an_error_in_the_ninth_digit_is_seen(monkeypatch, figure):
    def off(given, fisher, v, own=kronecker.ours):
        found = own(given, fisher, v)
        return kronecker.Figures(**{**vars(found), figure: getattr(found, figure) * (1 + 1e-9)})

    monkeypatch.setitem(kronecker.LIBRARIES, "thalweg", off)
    monkeypatch.setattr(kronecker, "CASES", {"perceptron": CASES["perceptron"]})
    assert not kronecker.measure(Scale()).aims[0].met


def test_columns_are_a_root_of_the_classes_covariance():
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0]).double()
    p = logits.softmax(0)
    columns = columns_of(logits)
    assert torch.allclose(columns @ columns.T, p.diag() - torch.outer(p, p))


def test_the_yardsticks_agree_where_theory_says_so():
    # Of one sample and one place the factors' product is the Fisher's own block.
    given = CASES["perceptron"]()
    alone = kronecker.Case(given.model, given.inputs[:1], given.targets[:1])
    fisher, start = dense_fisher(alone), 0
    for layer in alone.layers:
        block = spread(*factors(alone, layer))
        rows = slice(start, start + len(block))
        assert torch.allclose(block, fisher[rows, rows])
        start += len(block)
    assert start == len(fisher)
