"""K-FAC as a torch optimizer: closures taken apart at the model, minibatches, resumption."""

import io
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from thalweg.minimize import KFAC, GaussNewton, HessianFree, LevenbergMarquardt, NaturalGradient
from thalweg.minimize.directions.kronecker_natural_gradient import KroneckerNaturalGradient
from thalweg.minimize.optimizers.apart import Apart
from thalweg.minimize.optimizers.loading import placed
from thalweg.operators import Kronecker, Layout
from thalweg.operators.evaluation import Settings

SPLIT = {"kind": "exact", "damping_every": 1, "eigenvectors_every": 1}


class Net(nn.Module):
    """Layers that draw numbers and keep statistics."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 2)
        )

    def forward(self, x, scale=1.0):
        return self.layers(x) * scale


def net(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return Net(dropout).double()


def batches(count=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        inputs = torch.randn(12, 3, generator=generator, dtype=torch.float64)
        yield inputs, (inputs[:, 0] > inputs[:, 1]).long()


def by_convention(model, optimizer, inputs, targets):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    return closure


def without_backward(model, optimizer, inputs, targets):
    return lambda: F.cross_entropy(model(inputs), targets)


def as_a_pair(model, optimizer, inputs, targets):
    return lambda: (model(inputs), targets)


def trained(make, closure_of, *, dropout=0.3, count=4):
    """The model after a step on each batch, and what the steps returned."""
    model = net(dropout=dropout)
    optimizer = make(model)
    torch.manual_seed(7)
    losses = [
        float(optimizer.step(closure_of(model, optimizer, *batch))) for batch in batches(count)
    ]
    return model, losses


def same(one, other):
    return all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("closure_of", [by_convention, without_backward])
@pytest.mark.parametrize(
    "of, settings",
    [(KFAC, {}), (KFAC, {"corrected": True, "kind": "exact"}), (GaussNewton, {}),
     (HessianFree, {}), (LevenbergMarquardt, {})],
)  # fmt: skip
def test_a_closure_taken_apart_at_its_model_is_the_pair(of, settings, closure_of):
    # With dropout and batch statistics, which every evaluation of a step sees alike.
    want, theirs = trained(
        lambda m: of(m.parameters(), model=m, loss=F.cross_entropy, **settings), as_a_pair
    )
    got, ours = trained(lambda m: of(m, **settings), closure_of)
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert same(got, want)
    assert not same(got, net(dropout=0.3))
    assert got.layers[1].num_batches_tracked == 4


def test_its_steps_are_those_of_the_direction():
    # The loss is that of one batch throughout; the step is what the factors and the model say.
    model, (batch,) = net().eval(), batches(1)
    optimizer = KFAC(model, line_search_fn=None, momentum=0.0, **SPLIT)
    for _ in range(2):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        factors = Kronecker.of_model(model, nn.CrossEntropyLoss(), batch)
        optimizer.step(by_convention(model, optimizer, *batch))
        step = factors.layout.flatten(
            {name: p.detach() - before[name] for name, p in model.named_parameters()}
        )
        # At the second step the average of both; one batch's factors change little.
        delta = -factors.solve(factors.gradient, damping_of(optimizer), split="factored")
        along = float(step @ delta / step.norm() / delta.norm())
        assert along > (1 - 1e-9 if optimizer.counts.steps == 1 else 0.9)


def damping_of(optimizer):
    """The damping that the last step was taken with."""
    direction = optimizer._running.loop.direction
    return direction.damping / SHRUNK if optimizer.counts.steps == 1 else direction.damping


# The first step's model is good, so that the damping has fallen once.
SHRUNK = 0.95**5


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return torch.tensor(found.data / 16, dtype=torch.float32), torch.tensor(found.target)


def loss_after(make, digits, steps, seed):
    """The loss of all digits after some steps on minibatches of 200."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh())
    model.append(nn.Linear(16, 10))
    optimizer, (inputs, targets) = make(model), digits
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (200,), generator=generator)
        optimizer.step(by_convention(model, optimizer, inputs[rows], targets[rows]))
    with torch.no_grad():
        return F.cross_entropy(model(inputs), targets).item()


@pytest.fixture(scope="module")
def best_plain(digits):
    """After 20 steps of SGD with momentum, at the best of four rates."""
    return min(
        loss_after(
            lambda m, lr=lr: torch.optim.SGD(m.parameters(), lr=lr, momentum=0.9), digits, 20, 0
        )
        for lr in (0.1, 0.2, 0.3, 0.5)
    )


@pytest.mark.parametrize("settings", [{}, {"corrected": True}, {"factors_every": 4}])
def test_on_minibatches_of_digits_it_is_far_ahead_of_sgd_after_as_many_steps(
    digits, best_plain, settings
):
    assert loss_after(lambda m: KFAC(m, **settings), digits, 20, 0) < best_plain / 3


def test_it_goes_on_exactly_from_a_file():
    settings = {"factors_every": 2, "eigenvectors_every": 3}
    for corrected in (False, True):
        make = lambda m, of=corrected: KFAC(m, corrected=of, **settings)
        whole, _ = trained(make, by_convention, dropout=0.0, count=9)
        model = net()
        first = make(model)
        data = list(batches(9))
        for batch in data[:5]:
            first.step(by_convention(model, first, *batch))
        file = io.BytesIO()
        torch.save((model.state_dict(), first.state_dict()), file)
        file.seek(0)
        weights, state = torch.load(file, weights_only=True)
        other = net(seed=5)
        other.load_state_dict(weights)
        second = make(other)
        second.load_state_dict(state)
        for batch in data[5:]:
            second.step(by_convention(other, second, *batch))
        for a, b in zip(whole.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_file_that_changed_devices_is_put_back_where_the_parameters_are():
    model, (batch,) = net(), batches(1)
    optimizer = KFAC(model)
    optimizer.step(by_convention(model, optimizer, *batch))
    leaves = {str(i): p.detach() for i, p in enumerate(model.parameters())}
    (last,) = list(leaves)[-1:]
    elsewhere = Layout.of({**leaves, last: leaves[last].to("meta")})
    (state,) = optimizer.state_dict()["state"].values()
    factors = placed(state["loop"], elsewhere)["direction"]["factors"]
    kept = {x.device.type for x in factors["average"]["blocks"][0]["tensors"].values()}
    alone = replace(elsewhere, devices=(torch.device("meta"),) * len(leaves))
    moved = placed(state["loop"], alone)["direction"]["factors"]["average"]
    assert kept == {"cpu"}
    for block in moved["blocks"]:
        assert all(x.is_meta == bool(x.dim()) for x in block["tensors"].values())
    assert moved["gradient"].is_meta


def test_a_penalty_of_the_closure_is_told():
    model, (batch,), c = net().eval(), batches(1), 0.5
    optimizer = KFAC(model, penalty=c, line_search_fn=None, momentum=0.0, **SPLIT)
    before = [p.detach().clone() for p in model.parameters()]
    factors = Kronecker.of_model(model, nn.CrossEntropyLoss(), batch)

    def closure():
        squares = sum(p.square().sum() for p in model.parameters())
        return F.cross_entropy(model(batch[0]), batch[1]) + c * squares / 2

    optimizer.step(closure)
    start = torch.cat([p.reshape(-1) for p in before])
    end = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    direction = optimizer._running.loop.direction
    damping = first_damping_of(model, before, batch, c, direction.share) + c
    delta = -factors.solve(factors.gradient + c * start, damping, split="factored")
    assert torch.nn.functional.cosine_similarity(end - start, delta, 0) > 1 - 1e-9


def first_damping_of(model, before, batch, c, share):
    """The share of the Gauss-Newton curvature along the first gradient."""
    names = [name for name, _ in model.named_parameters()]
    params = dict(zip(names, before, strict=True))
    output = lambda *p: torch.func.functional_call(
        model, dict(zip(names, p, strict=True)), batch[0]
    )
    start = tuple(params.values())
    variables = [p.clone().requires_grad_() for p in start]
    penalty = c * sum(p.square().sum() for p in variables) / 2
    loss = F.cross_entropy(output(*variables), batch[1]) + penalty
    gradient = torch.autograd.grad(loss, variables)
    z, pushed = torch.autograd.functional.jvp(output, start, gradient)
    hessian = torch.autograd.functional.hessian(lambda z: F.cross_entropy(z, batch[1]), z)
    bend = torch.einsum("ni,nimj,mj->", pushed, hessian, pushed)
    return share * float(bend) / float(sum(g.square().sum() for g in gradient))


@pytest.mark.parametrize("times", [0, 2])
def test_a_closure_that_does_not_call_the_model_once_is_refused(times):
    model, (batch,) = net(), batches(1)
    inner = model.layers
    optimizer = KFAC(model)

    def closure():
        outputs = [model(batch[0]) for _ in range(times)] or [inner(batch[0])]
        return F.cross_entropy(sum(outputs), batch[1])

    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=f"called the model {times} times"):
        optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert "forward" not in vars(model)


def test_a_forward_of_the_instance_s_own_is_put_back_and_used():
    model, (batch,) = net().eval(), batches(1)
    plain = model.forward
    model.forward = own = lambda x: 2 * plain(x)
    optimizer = KFAC(model, kind="exact")
    optimizer.step(by_convention(model, optimizer, *batch))
    assert model.forward is own
    other = net().eval()
    second = KFAC(other, kind="exact")

    def doubled():
        return F.cross_entropy(other(batch[0], scale=2.0), batch[1])

    second.step(doubled)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b)


def test_what_is_drawn_after_the_model_is_drawn_again():
    # The closure draws, calls a model that draws, and draws the samples' weights.
    def parts(model, inputs):
        output = model(inputs + 0.1 * torch.randn_like(inputs))
        return output, torch.rand(len(inputs)).double()

    def weighed(output, others):
        targets, weights = others
        return (weights * F.cross_entropy(output, targets, reduction="none")).mean()

    def closure_of(model, optimizer, inputs, targets):
        def closure():
            output, weights = parts(model, inputs)
            return weighed(output, (targets, weights))

        return closure

    def pair_of(model, optimizer, inputs, targets):
        def closure():
            output, weights = parts(model, inputs)
            return output, (targets, weights)

        return closure

    settings = {"kind": "exact"}
    want, _ = trained(lambda m: KFAC(m.parameters(), model=m, loss=weighed, **settings), pair_of)
    got, _ = trained(lambda m: KFAC(m, **settings), closure_of)
    assert same(got, want)


def test_it_begins_as_published_for_minibatches():
    settings = KFAC(net()).param_groups[0]
    expected = {"kind": "monte-carlo", "draws": 1, "decay": 0.95, "damping_every": 5}
    assert expected.items() <= settings.items()
    assert settings["damping_factor"] == pytest.approx((19 / 20) ** 5)
    assert settings["split"] == "factored"
    assert settings["momentum"] is None


def test_rows_of_the_output_are_those_of_the_model_s_samples(monkeypatch):
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2).double()

        def forward(self, x):
            return self.layer(x).reshape(-1, 2)

    seen, own = [], Kronecker.of_pieces.__func__

    def watched(cls, pieces, *rest):
        seen.extend(piece.samples for piece in pieces)
        return own(cls, pieces, *rest)

    monkeypatch.setattr(Kronecker, "of_pieces", classmethod(watched))
    model, inputs = Flat(), torch.randn(5, 4, 3).double()
    optimizer = KFAC(model)
    optimizer.step(lambda: model(inputs).square().mean())
    assert seen == [5]


def test_an_output_of_16_bits_is_taken_as_one_of_32():
    model, inputs = nn.Linear(3, 2).bfloat16(), torch.ones(4, 3).bfloat16()
    apart = Apart("KFAC", model, lambda: model(inputs).sum())
    assert apart.output().dtype == torch.float32
    assert apart.loss(torch.full((4, 2), 0.1)).dtype == torch.float32
    assert apart.counted() == 4


def test_draws_are_new_at_each_making_and_the_same_in_a_second_run():
    seen = []

    class Place:
        def kronecker(self, settings):
            seen.append(settings)
            raise StopIteration

        def gauss_newton(self):
            raise NotImplementedError

    average = KroneckerNaturalGradient(kind="monte-carlo", draws=2, sharing="reduce")._average
    for count in (0, 1):
        average._count = count
        with pytest.raises(StopIteration):
            average.at(Place(), count)
    assert seen == [Settings("monte-carlo", 2, seed, "reduce") for seed in (0, 1)]
    runs = [trained(lambda m: KFAC(m), by_convention)[0] for _ in range(2)]
    assert same(*runs)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda m: KFAC(m.parameters()), "Give the model in place of params; or loss="),
        (lambda m: NaturalGradient(m), r"Give loss=\.\.\., from"),
        (lambda m: KFAC(m, decay=3.0), r"decay=3.0"),
        (lambda m: KFAC(m, 1.0, kind="mc"), r"kind='mc'"),
    ],
)
def test_what_is_missing_is_said(make, says):
    with pytest.raises((TypeError, ValueError), match=says):
        make(net())


def test_bfloat16_autocast_in_the_closure():
    model, (batch,) = net().float(), batches(1)
    inputs, targets = batch[0].float(), batch[1]
    optimizer = KFAC(model)

    def closure():
        with torch.autocast("cpu", torch.bfloat16):
            output = model(inputs)
        return F.cross_entropy(output.float(), targets)

    losses = [float(optimizer.step(closure)) for _ in range(6)]
    assert losses[-1] < 0.5 * losses[0]
