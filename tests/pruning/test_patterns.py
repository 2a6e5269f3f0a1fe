"""Patterns of zeros against enumeration, and against the format that PyTorch stores 2:4 in."""

import itertools

import pytest
import torch
from torch.sparse import _semi_structured_conversions as semi_structured

from thalweg.pruning.pattern import Pattern
from thalweg.pruning.units import Units, removed_weights, smallest, summed

SCORES = torch.rand(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def kept(pattern, sparsity=0.5):
    """The mask of a matrix of these scores."""
    form = Pattern.of(pattern)
    members = form.members(*SCORES.shape)
    group = torch.zeros(len(members), dtype=torch.int64)
    quotas = torch.tensor([round(sparsity * len(members))])
    if form.keep:
        group = form.neighbours(*SCORES.shape)
        quotas = torch.full((int(group[-1]) + 1,), form.keep[1] - form.keep[0])
    units = Units(members, group, quotas)
    gone = smallest(summed(SCORES.reshape(-1), units), units)
    return ~removed_weights(gone, units, SCORES.numel()).reshape(SCORES.shape)


def test_two_of_four_is_the_best_of_the_six():
    for scores, mask in zip(SCORES.reshape(-1, 4), kept("2:4").reshape(-1, 4), strict=True):
        pairs = list(itertools.combinations(range(4), 2))
        best = max(pairs, key=lambda pair: float(scores[list(pair)].sum()))
        assert mask.nonzero().squeeze(1).tolist() == list(best)


@pytest.mark.parametrize("n, m", [(1, 4), (3, 4), (1, 2), (4, 8)])
def test_n_of_m_keeps_the_best_of_every_m(n, m):
    mask = kept(f"{n}:{m}")
    for scores, own in zip(SCORES.reshape(-1, m), mask.reshape(-1, m), strict=True):
        assert set(own.nonzero().squeeze(1).tolist()) == set(scores.topk(n).indices.tolist())


@pytest.mark.parametrize("block", [(1, 1), (4, 1), (1, 4), (2, 2), (2, 4)], ids=str)
def test_blocks_with_the_smallest_sums_go(block):
    r, c = block
    tiles = {
        (i, j): float(SCORES[i : i + r, j : j + c].sum())
        for i in range(0, 4, r)
        for j in range(0, 8, c)
    }
    gone = sorted(tiles, key=tiles.get)[: len(tiles) // 2]
    wanted = torch.ones(4, 8, dtype=torch.bool)
    for i, j in gone:
        wanted[i : i + r, j : j + c] = False
    assert torch.equal(kept(block), wanted)
    assert Pattern.of(block).holds(wanted)


def survives_torchs_format(mask):
    """Whether nothing is lost where PyTorch stores it as 2:4."""
    matrix = torch.where(mask, 1.0 + torch.arange(mask.numel()).reshape(mask.shape), 0.0).half()
    packed = semi_structured.sparse_semi_structured_from_dense_cutlass(matrix)
    return torch.equal(semi_structured.sparse_semi_structured_to_dense_cutlass(*packed), matrix)


@pytest.mark.parametrize("seed", range(8))
def test_the_rule_of_two_of_four_is_torchs(seed):
    generator = torch.Generator().manual_seed(seed)
    share = 0.3 if seed % 2 else 0.15
    mask = torch.rand(32, 64, generator=generator) < share
    if seed < 2:
        mask = mask.reshape(-1, 4).long().cumsum(1).le(2).reshape(32, 64) & mask
    assert Pattern.of("2:4").holds(mask) == survives_torchs_format(mask)


@pytest.mark.parametrize("pattern", ["2:2", "4:2", "0:4", "two", (0, 1), (1,), 3, "2:4:8", None])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match='give "unstructured", "n:m"'):
        Pattern.of(pattern)


@pytest.mark.parametrize("pattern, shape", [("2:4", (4, 6)), ((3, 1), (4, 6)), ((2, 4), (4, 6))])
def test_what_does_not_fit_is_said(pattern, shape):
    assert "does not divide" in Pattern.of(pattern).misfit(*shape)


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", (4, 1)], ids=str)
def test_a_pattern_may_be_given_back(pattern):
    assert Pattern.of(Pattern.of(pattern)) == Pattern.of(pattern)


def test_of_equal_scores_the_first_go():
    members = torch.arange(6).unsqueeze(1)
    units = Units(members, torch.tensor([1, 0, 1, 0, 1, 0]), torch.tensor([2, 1]))
    assert smallest(torch.zeros(6), units).tolist() == [True, True, False, True, False, False]
