"""Shifted seeds against seeds shifted by hand."""

import itertools
import random

import numpy
import pytest
import torch

from thalweg.trials.seeds import STRIDE, shifted
from thalweg.trials.stated_seeds import SEEDS, StatedSeeds

SEED = 7

DRAWS = {
    "torch.manual_seed": lambda s: (torch.manual_seed(s), torch.rand(2).tolist())[1],
    "torch.random.manual_seed": lambda s: (torch.random.manual_seed(s), torch.rand(1).item())[1],
    "torch.manual_seed by name": lambda s: (torch.manual_seed(seed=s), torch.rand(1).item())[1],
    "torch.Generator": lambda s: torch.rand(2, generator=torch.Generator().manual_seed(s)).tolist(),
    "torch.Generator on a device": lambda s: torch.rand(
        1, generator=torch.Generator(device="cpu").manual_seed(s)
    ).item(),
    "random.seed": lambda s: (random.seed(s), random.random())[1],
    "random.seed by name": lambda s: (random.seed(a=s), random.random())[1],
    "numpy.random.seed": lambda s: (numpy.random.seed(s), numpy.random.rand())[1],
    "numpy.random.default_rng": lambda s: numpy.random.default_rng(s).random(),
    "numpy.random.default_rng by name": lambda s: numpy.random.default_rng(seed=s).random(),
    "numpy.random.RandomState": lambda s: numpy.random.RandomState(s).rand(),
    "RandomState.seed": lambda s: _reseeded(s).rand(),
    "numpy integer": lambda s: numpy.random.default_rng(numpy.int64(s)).random(),
}

UNSEEDED = {
    "torch": lambda: torch.rand(1).item(),
    "torch.seed": lambda: (torch.seed(), torch.rand(1).item())[1],
    "Generator.seed": lambda: torch.Generator().seed(),
    "random": random.random,
    "random.seed()": lambda: (random.seed(), random.random())[1],
    "numpy": lambda: numpy.random.rand(),
    "numpy.random.seed()": lambda: (numpy.random.seed(), numpy.random.rand())[1],
    "default_rng()": lambda: numpy.random.default_rng().random(),
    "RandomState()": lambda: numpy.random.RandomState().rand(),
}


def _reseeded(seed):
    state = numpy.random.RandomState(0)
    state.seed(seed)
    return state


@pytest.fixture(autouse=True)
def _restored():
    """Leave the global streams as they were."""
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
    yield
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    numpy.random.set_state(states[2])


@pytest.mark.parametrize("shift", [0, 1, 3])
@pytest.mark.parametrize("name", DRAWS)
def test_a_stated_seed_is_moved(name, shift):
    expected = DRAWS[name](SEED + shift * STRIDE)
    with shifted(shift):
        assert DRAWS[name](SEED) == expected
    assert DRAWS[name](SEED + shift * STRIDE) == expected  # and no more afterwards


@pytest.mark.parametrize("name", UNSEEDED)
def test_what_is_left_to_chance_repeats(name):
    def draw(shift):
        with shifted(shift):
            return UNSEEDED[name](), UNSEEDED[name]()

    assert draw(0) == draw(0)
    assert draw(1) == draw(1)
    assert draw(0) != draw(1)
    assert len(set(draw(0))) == 2


@pytest.mark.parametrize("draw", [DRAWS["numpy.random.seed"], DRAWS["numpy.random.RandomState"]])
def test_the_largest_seed_wraps_around(draw):
    expected = draw((2**32 - 1 + STRIDE) % 2**32)
    with shifted(1):
        assert draw(2**32 - 1) == expected


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1, -1, -(2**63)])
def test_torch_takes_any_64_bits(seed):
    with shifted(1):
        first = torch.manual_seed(seed).initial_seed()
    assert first == (seed + STRIDE) % 2**64


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused_as_ever(seed):
    with shifted(1), pytest.raises(ValueError, match="between 0 and 2"):
        numpy.random.seed(seed)


@pytest.mark.parametrize("seed", [[1, 2], numpy.random.SeedSequence(3)], ids=["list", "sequence"])
def test_other_seeds_are_kept(seed):
    expected = numpy.random.default_rng(seed).random()
    with shifted(2):
        assert numpy.random.default_rng(seed).random() == expected


def test_stand_ins_are_what_they_stand_for():
    before = numpy.random.RandomState(1), torch.Generator()
    with shifted(1):
        assert isinstance(before[0], numpy.random.RandomState)
        assert isinstance(numpy.random.mtrand._rand, numpy.random.RandomState)
        assert isinstance(before[1], torch.Generator)
        assert not isinstance(3, torch.Generator)
        assert isinstance(numpy.random.RandomState(1), type(before[0]))


def test_a_negative_shift_is_refused():
    with pytest.raises(ValueError, match="shifted\\(-1\\)"), shifted(-1):
        pass


# Scripts that seed themselves anew in every run; `clock` counts up as the time does.
FROM_THE_CLOCK = {
    "torch": lambda clock: (torch.manual_seed(next(clock)), torch.rand(1).item())[1],
    "torch, in seconds": lambda clock: (torch.manual_seed(next(clock) + 0.5), torch.rand(1).item())[
        1
    ],
    "Generator": lambda clock: torch.Generator().manual_seed(next(clock)).initial_seed(),
    "random, in seconds": lambda clock: (random.seed(next(clock) + 0.5), random.random())[1],
    "numpy": lambda clock: (numpy.random.seed(next(clock)), numpy.random.rand())[1],
    "default_rng": lambda clock: numpy.random.default_rng(next(clock) + 2**70).random(),
}


def drawn(name, clock, folder, earlier=None, shift=0):
    """Two runs' worth of one line's statements, under notes."""
    with shifted(shift, StatedSeeds(folder, earlier)):
        return [FROM_THE_CLOCK[name](clock) for _ in range(2)]


@pytest.mark.parametrize("name", FROM_THE_CLOCK)
def test_seeds_of_an_earlier_run_are_stated_again(name, tmp_path):
    clock, folders = itertools.count(10**9), [tmp_path / str(n) for n in range(4)]
    for folder in folders:
        folder.mkdir()
    first = drawn(name, clock, folders[0])
    assert first != drawn(name, clock, folders[1])
    assert first == drawn(name, clock, folders[2], folders[0])
    other = drawn(name, clock, folders[3], folders[0], shift=1)
    assert other != first
    assert other == drawn(name, clock, folders[3], folders[0], shift=1)
    assert first[0] != first[1]


def test_a_run_without_notes_to_follow_states_its_own(tmp_path):
    clock = itertools.count(5)
    with shifted(0, StatedSeeds(tmp_path, tmp_path / "nowhere")):
        assert torch.manual_seed(next(clock)).initial_seed() == 5
    assert len((tmp_path / SEEDS).read_text().splitlines()) == 1


def test_statements_beyond_the_earlier_runs_are_their_own(tmp_path):
    def seeds(stated, first, count):
        with shifted(0, stated):
            return [torch.manual_seed(first + n).initial_seed() for n in range(count)]

    assert seeds(StatedSeeds(tmp_path), 10, 2) == [10, 11]
    assert seeds(StatedSeeds(None, tmp_path), 20, 3) == [10, 11, 22]


def test_what_pytorch_states_itself_is_neither_noted_nor_replaced(tmp_path):
    with shifted(0, StatedSeeds(tmp_path)):
        sampler = torch.utils.data.RandomSampler(range(8))  # seeds a generator of its own
        assert sorted(sampler) == list(range(8))
    assert not (tmp_path / SEEDS).exists()
