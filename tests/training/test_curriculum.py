"""Curricula and growing batches: which examples come when, that runs resume, what it is for."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg.training import fit
from thalweg.training.strategies import (
    BatchGrowth,
    CurriculumBatches,
    GrowingBatches,
    exponential_pacing,
    linear_pacing,
    losses_of,
    two_stages,
    within_classes,
)

N = 23
DIFFICULTY = torch.randperm(N, generator=torch.Generator().manual_seed(4)).double()
EASIEST = DIFFICULTY.argsort().tolist()


def curriculum(seed=0, pacing=None):
    return CurriculumBatches(DIFFICULTY, 5, pacing or linear_pacing(0.2, 12), seed=seed)


def growing(seed=0):
    return GrowingBatches(N, BatchGrowth(4, 2, epochs=(1, 3)), seed=seed)


def batches(sampler, epochs):
    return [[*sampler] for _ in range(epochs)]


# What both samplers hold to.


@pytest.mark.parametrize("make", [curriculum, growing])
class TestEverySampler:
    def test_is_a_function_of_its_seed(self, make):
        assert batches(make(), 5) == batches(make(), 5)
        assert batches(make(), 5) != batches(make(seed=1), 5)

    def test_has_the_length_that_it_says(self, make):
        sampler = make()
        for _ in range(5):
            said = len(sampler)
            assert len([*sampler]) == said

    def test_goes_on_where_its_state_was_taken(self, make):
        whole = [batch for epoch in batches(make(), 5) for batch in epoch]
        for steps in range(len(whole)):
            sampler, resumed = make(), make(seed=9)
            stream = itertools.chain.from_iterable(itertools.repeat(sampler))
            seen = [*itertools.islice(stream, steps)]
            resumed.load_state_dict(sampler.state_dict())
            rest = itertools.chain.from_iterable(itertools.repeat(resumed))
            assert [*seen, *itertools.islice(rest, len(whole) - steps)] == whole

    def test_starts_at_an_epoch_that_is_set(self, make):
        sampler, third = make(), batches(make(), 3)[2]
        sampler.set_epoch(2, done=1)
        assert [*sampler] == third[1:]
        sampler.set_epoch(2)
        assert [*sampler] == third

    def test_begins_an_epoch_anew_that_was_broken_off(self, make):
        sampler = make()
        next(iter(sampler))
        assert [*sampler] == batches(make(), 1)[0]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_serves_a_loader(self, make, workers):
        data = TensorDataset(torch.arange(N))
        loader = DataLoader(data, batch_sampler=make(), num_workers=workers)
        for expected in batches(make(), 4):
            assert len(loader) == len(expected)
            assert [x.tolist() for (x,) in loader] == expected

    def test_fit_resumes_it(self, make, tmp_path):
        x, y = torch.randn(N, 2), torch.randn(N, 1)

        def trained(epochs, seed, **settings):
            torch.manual_seed(7)
            model = nn.Linear(2, 1)
            loader = DataLoader(TensorDataset(x, y), batch_sampler=make(seed=seed))
            fit(model, nn.functional.mse_loss, loader, epochs=epochs, **settings)
            return model.weight

        once = trained(4, 0)
        trained(2, 0, checkpoint=tmp_path / "c")
        assert torch.equal(trained(4, 0, checkpoint=tmp_path / "c"), once)
        assert not torch.equal(trained(4, 5), once)


# The curriculum.

PACINGS = {
    "exponential": (exponential_pacing(0.1, 2.0, 3), [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4]),
    "linear": (linear_pacing(0.2, 4), [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]),
    "two stages": (two_stages(0.3, 2), [0.3, 0.3, 1.0, 1.0]),
}


@pytest.mark.parametrize("pacing, shares", PACINGS.values(), ids=PACINGS)
def test_pacings_are_their_formulas(pacing, shares):
    assert [pacing(step) for step in range(len(shares))] == pytest.approx(shares)
    later = [pacing(step) for step in range(0, 10**5, 997)]
    assert later == sorted(later)
    assert later[-1] == 1.0


def test_each_batch_is_drawn_from_the_easiest():
    pacing = linear_pacing(0.2, 12)
    sampler = curriculum(pacing=pacing)
    steps = [batch for epoch in batches(sampler, 4) for batch in epoch]
    assert len(steps) == 4 * math.ceil(N / 5)
    for step, batch in enumerate(steps):
        pool = EASIEST[: math.ceil(pacing(step) * N - 1e-9)]
        assert set(batch) <= set(pool)
        assert len(batch) == len(set(batch))
        assert len(pool) == N or len(batch) == min(5, len(pool))
    assert sorted(itertools.chain(*steps[-len(sampler) :])) == [*range(N)], "it is all by then"


def test_a_pool_is_gone_through_before_an_example_comes_again():
    sampler = curriculum(pacing=lambda step: 10 / N)
    for epoch in batches(sampler, 3):
        for first, second in zip(epoch[0::2], epoch[1::2], strict=False):
            assert sorted(first + second) == sorted(EASIEST[:10])


def test_with_everything_in_the_pool_an_epoch_is_an_epoch():
    epochs = batches(curriculum(pacing=lambda step: 1.0), 3)
    assert all(sorted(itertools.chain(*epoch)) == [*range(N)] for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_difficulty_by_a_teacher_is_each_examples_loss():
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4).eval(), nn.Dropout(0.5))
    x, y = torch.randn(10, 3), torch.arange(10) % 4
    each = nn.CrossEntropyLoss(reduction="none")
    found = losses_of(teacher, each, TensorDataset(x, y), batch_size=4)
    assert [part.training for part in (teacher, *teacher)] == [True, True, False, True]
    assert torch.equal(losses_of(teacher, each, (x, y)), found)
    assert not found.requires_grad
    logs = teacher[1](teacher[0](x)).log_softmax(1)
    assert found.tolist() == pytest.approx([-logs[i, k].item() for i, k in enumerate(y.tolist())])
    with pytest.raises(ValueError, match="reduction='none'"):
        losses_of(teacher, nn.CrossEntropyLoss(), TensorDataset(x, y))


def test_ranks_within_classes_make_balanced_pools():
    labels = torch.tensor([0] * 12 + [1] * 4)
    difficulty = torch.cat([torch.arange(12.0), 100 + torch.arange(4.0)])  # class 1 is harder
    ranks = within_classes(difficulty, labels)
    for share in (0.25, 0.5, 0.75, 1.0):
        pool = ranks.argsort(stable=True)[: int(16 * share)]
        assert (labels[pool] == 1).sum() == 4 * share
    assert ranks[:12].tolist() == [i / 12 for i in range(12)]
    assert torch.equal(within_classes(difficulty.tolist(), labels.tolist()), ranks)


REFUSED = {
    "no share": lambda: linear_pacing(0.0, 3),
    "no steps": lambda: two_stages(0.5, 0),
    "labels of others": lambda: within_classes([1.0, 2.0], [0]),
    "shrinking": lambda: exponential_pacing(0.5, 0.9, 3),
    "no examples": lambda: CurriculumBatches([], 3, linear_pacing(0.5, 1)),
    "a difficulty that is none": lambda: CurriculumBatches([math.nan], 3, linear_pacing(0.5, 1)),
    "no batch": lambda: CurriculumBatches([1.0], 0, linear_pacing(0.5, 1)),
    "no data": lambda: GrowingBatches(0, BatchGrowth(1, 2, (1,))),
    "no first batch": lambda: BatchGrowth(0, 2, (1,)),
    "shrinking batches": lambda: BatchGrowth(4, 0.5, (1,)),
    "a largest below the first": lambda: BatchGrowth(4, 2, (1,), largest=3),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(refused):
    with pytest.raises(ValueError):
        refused()


def errors_of_a_perceptron(seed):
    """Errors on new data after one pass, by the order in which examples come: Bengio's section 4.

    Labels are those of a linear teacher with noise in its output; the easiest examples are those
    that the teacher tells apart most clearly.
    """
    generator = torch.Generator().manual_seed(seed)
    n, d = 200, 50
    teacher = torch.randn(d, generator=generator, dtype=torch.float64)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    margin = x @ teacher
    noise = 0.5 * margin.std() * torch.randn(n, generator=generator, dtype=torch.float64)
    y = (margin + noise).sign()
    difficulty = -margin * y

    def error(scores):
        sampler = CurriculumBatches(scores, 1, linear_pacing(0.1, n), seed=seed)
        w = torch.zeros(d, dtype=torch.float64)
        for (i,) in sampler:
            if y[i] * (x[i] @ w) <= 0:
                w = w + y[i] * x[i]
        return math.acos(w @ teacher / (w.norm() * teacher.norm())) / math.pi

    shuffled = torch.randperm(n, generator=generator).double()
    return [error(scores) for scores in (difficulty, shuffled, -difficulty)]


def test_easy_examples_first_learn_faster_than_any_and_difficult_ones_slower():
    errors = torch.tensor([errors_of_a_perceptron(seed) for seed in range(16)])
    for better, worse in ((0, 1), (1, 2)):
        gain = errors[:, worse] - errors[:, better]
        assert gain.mean() > 4 * gain.std() / 16**0.5


# Growing batches.


def test_batches_grow_at_their_epochs_up_to_the_largest():
    growth = BatchGrowth(4, 3, epochs=(2, 4, 6), largest=40)
    assert [growth.batch_size(e) for e in range(8)] == [4, 4, 12, 12, 36, 36, 40, 40]
    factors = [growth.rate_factor(e) for e in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 40 / 108, 40 / 108])


def test_every_epoch_has_all_examples_once():
    for epoch, size in enumerate([4, 8, 8, 16]):
        sampler = growing()
        sampler.set_epoch(epoch)
        found = [*sampler]
        assert sorted(itertools.chain(*found)) == [*range(N)]
        assert {len(batch) for batch in found[:-1]} <= {size}
        assert len(found) == math.ceil(N / size)


def expected(rates, sizes, examples=64, start=3.0, curvature=1.0, deviation=2.0):
    """The mean of lambda/2 w^2 after each epoch, and how many steps it took.

    A step multiplies the mean of w by 1 - lr lambda, and its variance by the square of that, and
    adds lr^2 sigma^2 / B to the variance.
    """
    mean, variance, losses, steps = start, 0.0, [], 0
    for lr, size in zip(rates, sizes, strict=True):
        for _ in range(math.ceil(examples / size)):
            mean *= 1 - lr * curvature
            variance = (1 - lr * curvature) ** 2 * variance + (lr * deviation) ** 2 / size
            steps += 1
        losses.append(curvature / 2 * (mean**2 + variance))
    return torch.tensor(losses), steps


def descended(growth, epochs, lr=0.05, copies=4000):
    """The same by running it: many copies of w, and 64 examples whose mean is its minimum at 0."""
    torch.manual_seed(0)
    sampler, losses = GrowingBatches(64, growth), []
    w = torch.full((copies,), 3.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr)
    for _ in range(epochs):
        for batch in sampler:
            examples = 2.0 * torch.randn(len(batch), copies, dtype=torch.float64)
            w.grad = (w.detach() - examples).mean(0)
            optimizer.step()
        losses.append((w.detach().square() / 2).mean().item())
    return torch.tensor(losses)


def test_growing_the_batch_is_decaying_the_rate_in_fewer_steps():
    growth = BatchGrowth(1, 4, epochs=(4, 8))
    sizes = [growth.batch_size(e) for e in range(12)]
    grown, few = expected([0.05] * 12, sizes)
    decayed, many = expected([0.05 / size for size in sizes], [1] * 12)
    constant, _ = expected([0.05] * 12, [1] * 12)
    assert ((grown / decayed).log().abs() < 0.05).all(), "up to a share of the order of lr lambda"
    assert constant[11] > 5 * grown[11]
    assert (few, many) == (4 * 64 + 4 * 16 + 4 * 4, 12 * 64)
    assert ((descended(growth, 12) / grown).log().abs() < 4.5 * (2 / 4000) ** 0.5).all()
