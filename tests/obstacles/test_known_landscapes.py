"""Landscapes of known truth: each obstacle is suspected where it is, and not where it is not.

A run is plain descent on a landscape whose curvatures, saddles and noise are known, so that what
holds it back follows from arithmetic, said with each row. All obstacles judge every run.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from thalweg import landscapes
from thalweg.landscapes import LANDSCAPES, Landscape
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.probes import PROBES
from thalweg.obstacles.registry import OBSTACLES
from thalweg.recorder import Recorder, Recording, Session

HIGH, LOW, EXPLODING = "learning-rate-too-high", "learning-rate-too-low", "exploding-gradient"
CONDITION, NOISE, SADDLE = "ill-conditioning", "gradient-noise", "saddle-point"
PLATEAU, CLIFF = "plateau", "cliff"
WEAK = 0.5  # what a suspicion has at most that nothing but a trial could confirm


@dataclass(frozen=True)
class Descent:
    """Plain descent on a landscape.

    Attributes:
        landscape: Where; its lowest value is moved to zero, as a training loss has it.
        rate: The learning rate.
        steps: How many.
        start: Where from; by default where the landscape starts.
        batch: Of a landscape with noise, the size of the batches; None for none.
        also: Codes that are just as true of it, or follow from what is.
    """

    landscape: Landscape
    rate: float
    steps: int = 60
    start: tuple[float, ...] | None = None
    batch: int | None = None
    also: frozenset[str] = field(default_factory=frozenset)

    def loss(self, w, chance):
        """One look at the loss."""
        land = self.landscape
        return (
            land(w) if self.batch is None else land.sample(w, self.batch, chance)
        ) - land.minimum

    def run(self):
        """The whole run."""
        start = self.landscape.start if self.start is None else torch.tensor(self.start).double()
        w = torch.nn.Parameter(start.clone())
        optimizer = torch.optim.SGD([w], lr=self.rate)
        chance = torch.Generator().manual_seed(0)
        for _ in range(self.steps):
            optimizer.zero_grad()
            self.loss(w, chance).backward()
            optimizer.step()


def alongside(*codes):
    return frozenset(codes)


bowl, ravine, noisy = landscapes.quadratic, landscapes.ravine, landscapes.noisy_quadratic
regression, chain = landscapes.lecun_regression(), landscapes.weight_chain
saddle, monkey, plain = landscapes.saddle(), landscapes.monkey_saddle(), landscapes.plateau()
AT_THE_WALL = (1.05 / 0.85**6, 1.0)  # six steps of 1 - 0.3 / 2 end in the middle of the wall
EXPLODES = alongside(EXPLODING)
ANY_RATE = alongside(LOW)  # where there is no slope, no step is long enough

# What holds the run back, and the run.
PRESENT = {
    "above 2 / 10": (HIGH, Descent(bowl((1.0, 10.0)), 0.21)),
    "ten times 2 / 10": (HIGH, Descent(bowl((1.0, 10.0)), 2.0, also=EXPLODES)),
    "above 2 / 0.84 of the inputs": (HIGH, Descent(regression, 2.6, also=EXPLODES)),
    "above 2 / 4 of the worst case": (HIGH, Descent(landscapes.worst_case(), 0.55, also=EXPLODES)),
    "a valley too curved for the rate": (
        HIGH, Descent(landscapes.rosenbrock(), 1e-2, also=EXPLODES)),
    "four minima too sharp for it": (HIGH, Descent(landscapes.himmelblau(), 0.1, also=EXPLODES)),
    "minima of curvature 35": (HIGH, Descent(landscapes.styblinski_tang(), 0.2, also=EXPLODES)),
    "a corner far too steep": (HIGH, Descent(landscapes.beale(), 0.2, also=EXPLODES)),
    "a thousandth of 2 / 2": (LOW, Descent(bowl((1.0, 2.0)), 1e-3)),
    "a hundredth of 2 / 25": (
        LOW, Descent(ravine(25.0), 5e-4, also=alongside("stopped-too-early"))),
    "10^4 at 1.9 / 10^4": (CONDITION, Descent(ravine(1e4), 1.9e-4, 200)),
    "10^3, rotated otherwise": (CONDITION, Descent(ravine(1e3, 1.0), 1.5e-3, 100)),
    "a curved valley": (CONDITION, Descent(landscapes.rosenbrock(), 1e-3, 200)),
    "exactly on the ridge": (SADDLE, Descent(saddle, 0.1, 100, (1.5, 0.0))),
    "beside the ridge": (SADDLE, Descent(saddle, 0.1, 100, (1.5, 1e-12))),
    "two weights near zero": (SADDLE, Descent(landscapes.one_one_one(), 0.1, 100, (1e-6, 1e-6))),
    "far out on the plain": (PLATEAU, Descent(plain, 0.1, start=(50.0, 50.0), also=ANY_RATE)),
    "five small weights in a row": (
        PLATEAU, Descent(chain(5), 0.1, start=(0.1,) * 5, also=ANY_RATE)),
    "between three valleys": (PLATEAU, Descent(monkey, 0.02, start=(1e-3, 1e-5), also=ANY_RATE)),
    "down to the wall": (
        CLIFF, Descent(landscapes.cliff(), 0.3, 20, AT_THE_WALL, also=EXPLODES)),
    "five large weights in a row": (
        EXPLODING, Descent(chain(5), 0.05, start=(2.0,) * 5, also=alongside(HIGH))),
    "nothing but noise at the bottom": (NOISE, Descent(noisy((10.0, 10.0)), 0.02, 300, batch=1)),
    "one example at a time": (NOISE, Descent(regression, 0.4, 300, batch=1)),
}  # fmt: skip

# Runs that nothing holds back: the nearest neighbours of those above.
ABSENT = {
    "quadratic": Descent(bowl((1.0, 2.0)), 0.3),
    "ravine": Descent(ravine(25.0), 0.05, 200),
    "rosenbrock": Descent(
        landscapes.rosenbrock(), 1e-3, 200, (1.0, 1.05), also=alongside(CONDITION)),
    "beale": Descent(landscapes.beale(), 0.01, 300),
    "himmelblau": Descent(landscapes.himmelblau(), 0.01),
    "styblinski-tang": Descent(landscapes.styblinski_tang(), 0.03),
    "saddle": Descent(saddle, 0.1, 100, (1.5, 0.5)),
    "monkey-saddle": Descent(monkey, 0.05, 100),
    "cliff": Descent(landscapes.cliff(), 0.3, 40, (0.9, 1.0)),
    "recurrent-cliff": Descent(landscapes.recurrent_cliff(10), 1.0, start=(0.5, 0.2)),
    "plateau": Descent(plain, 0.3, start=(0.5, 0.5)),
    "one-one-one": Descent(landscapes.one_one_one(), 0.1, start=(0.5, 0.8)),
    "weight-chain": Descent(chain(5), 0.05, start=(0.9,) * 5),
    "worst-case": Descent(landscapes.worst_case(3), 0.4),
    "noisy-quadratic": Descent(noisy((10.0, 10.0)), 0.02, 300, batch=100_000),
    "linear-regression": Descent(regression, 0.4, 300, batch=100),
}  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What every obstacle says of a descent: strengths by codes; each run is made once."""
    made = {}

    def judge(name, descent):
        if name not in made:
            made[name] = strengths(descent, tmp_path_factory.mktemp("landscape"))
        return made[name]

    return judge


def strengths(descent, folder):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Session([Recorder(folder, Path(__file__).parent, PROBES)]):
            descent.run()
    finally:
        torch.set_num_threads(threads)
    seen = Evidence(Recording.read(folder))
    found = {code: one.judge(seen) for code, one in OBSTACLES.items()}
    return {code: one.strength for code, one in found.items() if one}


def strong(found):
    """The codes that are more than candidates for a trial."""
    return {code for code, strength in found.items() if strength > WEAK}


@pytest.mark.parametrize("name", PRESENT)
def test_what_is_there_leads(name, judged):
    code, descent = PRESENT[name]
    found = judged(name, descent)
    assert found[code] == max(found.values()), found
    assert strong(found) <= {code, *descent.also}, found


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_is_not_named(name, judged):
    found = judged(name, ABSENT[name])
    assert strong(found) <= ABSENT[name].also, found


def test_every_landscape_is_descended():
    assert set(ABSENT) == set(LANDSCAPES)


def test_the_lowest_loss_is_zero():
    runs = [*ABSENT.values(), *(one for _, one in PRESENT.values())]
    for one in runs:
        calm = dataclasses.replace(one, batch=None)
        assert calm.loss(one.landscape.minimizers[0], None).abs() < 1e-8
