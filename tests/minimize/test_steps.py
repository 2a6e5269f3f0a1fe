"""One step at a time on the loss at hand: whose gradients are compared, and what is asked twice."""

import gc
import math
import weakref

import pytest
import torch
from torch.nn import functional as F

from thalweg.minimize.at_hand import AtHand, Parts, StepLoss
from thalweg.minimize.contract import Proposal
from thalweg.minimize.names import direction_named
from thalweg.minimize.steps import Steps
from thalweg.operators import Layout

MATRICES = [torch.diag(torch.tensor(row).double()) for row in ((1.0, 4, 9), (5, 2, 1), (3, 3, 8))]


def no_parts():
    raise ValueError("the loss is of one piece")


def quadratic(matrix, x, away=0.0):
    """The loss x'Ax / 2 where a program stands at `x`; `away`: what it says too much."""
    value = x.detach() @ matrix @ x.detach() / 2 + away
    return StepLoss(lambda p: p["0"] @ matrix @ p["0"] / 2, value, no_parts)


class Watched:
    """Down the gradient; keeps the pairs that it is taught."""

    name, needs = "watched", frozenset()

    def __init__(self):
        self.pairs, self.values = [], []

    def propose(self, at):
        g = at.gradient
        self.values.append(at.value)
        return Proposal(-g, -float(g @ g), 0.1)

    def moved(self, before, after):
        self.pairs.append((after.x - before.x, after.gradient - before.gradient))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def parameter(values=(1.0, -2.0, 3.0)):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_both_gradients_of_a_pair_are_of_one_minibatch():
    x, direction = parameter(), Watched()
    steps = Steps([x], direction)
    for matrix in MATRICES * 2:
        steps.step(quadratic(matrix, x))
    for (s, y), matrix in zip(direction.pairs, MATRICES * 2, strict=True):
        torch.testing.assert_close(y, matrix @ s, rtol=1e-12, atol=1e-12)
    assert steps.status == "descending"


@pytest.mark.parametrize("name", ["bfgs", "l-bfgs"])
def test_what_was_learned_is_kept_between_minibatches(name):
    """In one dimension a pair says all: the next minibatch, as curved, takes one trial."""
    x = parameter((5.0,))
    steps = Steps([x], direction_named(name))
    steps.step(quadratic(torch.tensor([[7.0]]).double(), x))
    before = steps.counts.losses
    shifted = StepLoss(
        lambda p: 3.5 * (p["0"] - 2).square().sum(),
        3.5 * (x.detach() - 2).square().sum(),
        no_parts,
    )
    steps.step(shifted)
    torch.testing.assert_close(x.detach(), torch.tensor([2.0]).double(), rtol=1e-12, atol=0)
    assert steps.counts.losses == before + 2


def test_a_full_batch_is_asked_for_once_a_point():
    x, direction = parameter(), Watched()
    steps = Steps([x], direction)
    for _ in range(5):
        steps.step(quadratic(MATRICES[0], x))
    # the first point, and one or more along each line; no point a second time
    assert direction.values == sorted(direction.values, reverse=True)
    assert steps.counts.losses == 1 + 5


def test_a_new_minibatch_is_asked_for_where_the_parameters_are():
    x, direction = parameter(), Watched()
    steps = Steps([x], direction)
    steps.step(quadratic(MATRICES[0], x))
    with torch.no_grad():
        x.mul_(2)  # by the program itself
    steps.step(quadratic(MATRICES[1], x))
    s, _ = direction.pairs[-1]
    there = x.detach() - s
    expected = float(there @ MATRICES[1] @ there / 2)
    assert math.isclose(direction.values[-1], expected, rel_tol=1e-12)


def test_a_decay_is_part_of_the_loss():
    x, y = parameter(), torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    target = x.detach() + 1

    def loss(p):
        return (p["0"] - target).square().sum() / 2 + (p["1"] - 3).square().sum() / 2

    steps = Steps([x, y], direction_named("newton"), decay=[0.5, 0.0])
    value = loss({"0": x.detach(), "1": y.detach()})
    steps.step(StepLoss(loss, value, no_parts))
    torch.testing.assert_close(x.detach(), target / 1.5, rtol=1e-12, atol=0)
    torch.testing.assert_close(y.detach(), torch.full_like(y, 3.0).detach(), rtol=1e-12, atol=0)


def test_where_the_loss_is_no_number_nothing_moves():
    x = parameter()
    steps = Steps([x], direction_named("l-bfgs"))
    matrix = MATRICES[0] * math.nan
    steps.step(quadratic(matrix, x))
    assert (steps.status, x.detach().tolist()) == ("not finite", [1.0, -2.0, 3.0])
    steps.step(quadratic(MATRICES[0], x))
    assert steps.status == "descending"


def test_a_step_that_led_nowhere_is_not_tried_again_on_the_same_loss():
    x = parameter((0.0, 0.0, 0.0))
    steps = Steps([x], direction_named("l-bfgs"))
    for _ in range(3):
        steps.step(quadratic(MATRICES[0], x))
    assert (steps.status, steps.why, steps.counts.losses) == ("stalled", "the gradient is zero", 1)


@pytest.mark.parametrize("away", [1e-3, math.inf])
def test_another_loss_than_the_programs_is_refused(away):
    x = parameter()
    steps = Steps([x], direction_named("l-bfgs"))
    if math.isinf(away):  # then there is nothing to compare
        steps.step(quadratic(MATRICES[0], x, away))
        return
    with pytest.raises(ValueError, match=r"played again gives 49, the program had 49\.001"):
        steps.step(quadratic(MATRICES[0], x, away))
    assert x.detach().tolist() == [1.0, -2.0, 3.0]


def test_a_step_has_so_many_evaluations():
    x = parameter()
    steps = Steps([x], direction_named("steepest-descent"), max_evaluations=3)
    rough = StepLoss(
        lambda p: p["0"].square().sum() + 1e9 * (p["0"] - x.detach()).square().sum(),
        x.detach().square().sum(),
        no_parts,
    )
    steps.step(rough)
    assert steps.counts.losses <= 1 + 3


INPUTS = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(5, 3)
CLASSES = torch.tensor([0, 1, 1, 0, 1])


def linear_classes(decay):
    """A linear model, whose Gauss-Newton and Fisher matrices are its Hessian."""
    weight = torch.linspace(-0.5, 0.7, 6, dtype=torch.float64).reshape(2, 3)

    def output(p):
        return (INPUTS @ p["0"].T,)

    def loss(outputs):
        return F.cross_entropy(outputs[0], CLASSES)

    known = Parts(output, loss, [F.cross_entropy], True, CLASSES)
    at_hand = AtHand(Layout.of({"0": weight}), [decay])
    at_hand.loss = StepLoss(lambda p: loss(output(p)), torch.tensor(0.0), lambda: known)
    flat = weight.reshape(-1)
    hessian = torch.autograd.functional.hessian(
        lambda w: loss(output({"0": w.reshape(2, 3)})), flat
    )
    return at_hand.objective, flat, hessian


@pytest.mark.parametrize("decay", [0.0, 0.25])
@pytest.mark.parametrize("need", ["hessian", "gauss-newton", "fisher"])
def test_the_matrices_of_the_loss_at_hand(need, decay):
    objective, at, hessian = linear_classes(decay)
    # the Fisher information is the model's; a decay says nothing of what it predicts
    own = 0.0 if need == "fisher" else decay
    matrix = objective.operator(need, at)
    expected = hessian + own * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(matrix.to_dense(), expected, rtol=1e-10, atol=1e-12)
    assert need == "hessian" or "psd" in matrix.facts


def test_a_likelihood_that_is_not_known_is_refused():
    at_hand = AtHand(Layout.of({"0": torch.ones(3).double()}), [0.0])
    known = Parts(lambda p: (p["0"],), lambda z: z[0].sum(), [F.cross_entropy], True, None)
    at_hand.loss = StepLoss(lambda p: p["0"].sum(), torch.tensor(0.0), lambda: known)
    with pytest.raises(ValueError, match="no likelihood that is known"):
        at_hand.objective.operator("fisher", torch.ones(3).double())


def test_nothing_of_a_loss_is_kept_after_a_step_that_led_nowhere():
    """The graph of a matrix is as large as the program's own, which is about to make the next."""
    x, seen = parameter(), []

    def logistic():
        inputs = INPUTS.clone()
        seen.append(weakref.ref(inputs))

        def output(p):
            return (inputs @ p["0"],)

        def loss(outputs):
            return F.binary_cross_entropy_with_logits(outputs[0], CLASSES.double())

        parts = Parts(output, loss, [F.binary_cross_entropy_with_logits], True)
        value = loss(output({"0": x.detach()}))
        start = x.detach().clone()

        def walled(p):
            return loss(output(p)) if torch.equal(p["0"], start) else p["0"].sum() / 0

        return StepLoss(walled, value, lambda: parts)

    steps = Steps([x], direction_named("gauss-newton"))
    steps.step(logistic())
    assert (steps.status, steps.counts.matrices) == ("stalled", 1)
    gc.collect()
    assert [kept() for kept in seen] == [None] * len(seen)
