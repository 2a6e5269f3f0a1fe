"""Methods from outside: an unedited script makes the steps that `minimize` makes of its loss."""

import math
import warnings

import pytest
import torch
from scripts_and_edits import by_closure, by_hand, different, equal, network, run, script, table
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from thalweg.interventions import InterventionError, Method, updates_named
from thalweg.minimize import Objective, Run
from thalweg.minimize.at_hand import Parts, of_samples
from thalweg.minimize.names import DIRECTIONS, SEARCHES
from thalweg.operators import EigenvalueCorrected, Fisher, GaussNewton, Kronecker, Layout
from thalweg.operators.evaluation import Piece, Settings
from thalweg.optim import OPTIMIZERS

STEPS = 4


def problem():
    """The script's loss as a function of one flat vector, with its matrices."""
    torch.manual_seed(11)
    x, y = table()
    model = network()
    params = {name: p.detach().clone() for name, p in model.named_parameters()}
    layout = Layout.of(params)

    def output(flat):
        return functional_call(model, layout.unflatten(flat), x)

    def likelihood(logits):
        return torch.distributions.Categorical(logits=logits)

    def loss(logits):
        return F.cross_entropy(logits, y)

    def pieces():
        return [Piece(lambda p: functional_call(model, p, x), loss)]

    def corrected(flat, settings, basis):
        at = layout.unflatten(flat)
        return EigenvalueCorrected.in_basis_of(basis, pieces(), at, settings)

    start = layout.flatten(params)
    objective = Objective(
        lambda flat: loss(output(flat)),
        start,
        gauss_newton=lambda at: GaussNewton(lambda p: output(p["x"]), loss, {"x": at}, convex=True),
        fisher=lambda at: Fisher(lambda p: output(p["x"]), loss, likelihood, {"x": at}),
        kronecker=lambda at, given: Kronecker.of_pieces(pieces(), layout.unflatten(at), given),
        eigenvalue_corrected=corrected,
    )
    return objective, start


@pytest.mark.parametrize("name", DIRECTIONS)
def test_makes_the_steps_that_minimize_makes(name):
    points = []
    objective, start = problem()
    note = lambda x, record: points.append(x)
    whole = Run(objective, start, name, certify=False, tol=0, callback=note)
    for _ in range(STEPS + 1):  # the first evaluates the start
        whole.step()
    asked = whole.state_dict()["loop"]["counts"]
    method = Method(name)
    found = run(script(steps=STEPS), [method])[:4]
    torch.testing.assert_close(
        torch.cat([p.reshape(-1) for p in found]), points[-1], rtol=1e-9, atol=1e-9
    )
    assert method.told().startswith(f"{name} made {STEPS} steps, {STEPS} of them down: ")
    assert f": {asked['losses']} losses" in method.told()
    assert f" {asked['products']} products" in method.told()


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_goes_down(search):
    before, after = run(script(steps=8))[-2], run(script(steps=8), [Method("l-bfgs", {}, search)])
    assert after[-2] < before


def grouped(kind, **options):
    return script(kind, groups=True, **options)


penalized = lambda model, x, y: (
    F.cross_entropy(model(x), y) + 0.15 * sum(p.square().sum() for p in model.parameters())
)
uphill = lambda model, x, y: -F.cross_entropy(model(x), y)


def halves(model, optimizer, x, y):
    """The gradient in two passes."""
    for rows in (slice(0, 10), slice(10, 40)):
        (F.cross_entropy(model(x[rows]), y[rows], reduction="sum") / 40).backward()


def at_once(model, optimizer, x, y):
    F.cross_entropy(model(x), y).backward()


def by_autograd(model, optimizer, x, y):
    params = list(model.parameters())
    for p, g in zip(params, torch.autograd.grad(F.cross_entropy(model(x), y), params), strict=True):
        p.grad = g


def thrown_away(model, optimizer, x, y):
    """A pass for something else, whose gradients are cleared."""
    (1e3 * model(x).square().sum()).backward()
    optimizer.zero_grad()
    at_once(model, optimizer, x, y)


def clipped(model, optimizer, x, y):
    at_once(model, optimizer, x, y)
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)


def passing(passes, kind=SGD, steps=5):
    """Training whose gradients come by these backward passes."""

    def training():
        x, y = table()
        model = network()
        optimizer = kind(model.parameters(), lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            passes(model, optimizer, x, y)
            optimizer.step()
        return model.parameters()

    return training


# name: (the script, the script whose steps it must make too)
SAME = {
    "whatever optimizer": (script(Adam, lr=0.7, betas=(0.1, 0.2)), script()),
    "whatever schedule": (
        script(schedule=lambda o: lr_scheduler.StepLR(o, 1, 0.1)), script(),
    ),
    "groups": (grouped(SGD), script()),
    "decay in the gradient": (script(weight_decay=0.3), script(loss_of=penalized)),
    "decay apart": (script(AdamW, weight_decay=0.3), script()),
    "uphill": (script(loss_of=uphill, maximize=True), script()),
    "gradients kept": (script(clear=False), script()),
    "a closure": (by_closure(steps=5), passing(at_once)),
    "two passes": (passing(halves), passing(at_once)),
    "torch.autograd.grad": (passing(by_autograd), passing(at_once)),
    "a pass for something else": (passing(thrown_away), passing(at_once)),
    "clipping": (passing(clipped), passing(at_once)),
}  # fmt: skip


by_function = lambda model, x, y: F.mse_loss(model(x), x[:, :3])
by_square = lambda model, x, y: ((model(x) - x[:, :3]) ** 2).mean()


@pytest.mark.parametrize("method", ["k-fac", "ek-fac", "levenberg-marquardt"])
def test_squared_errors_written_out_are_a_loss_function(method):
    left, right = (run(script(loss_of=one), [Method(method)]) for one in (by_square, by_function))
    equal(left[:4], right[:4], 1e-7)


by_entropy = lambda model, x, y: F.cross_entropy(model(x), y)


def penalized_by(penalty):
    return lambda model, x, y: F.cross_entropy(model(x), y) + penalty(model)


PENALTIES = {
    "l2": lambda model: 0.15 * sum(p.square().sum() for p in model.parameters()),
    "l1": lambda model: 0.01 * sum(p.abs().sum() for p in model.parameters()),
    "of one layer": lambda model: 0.3 * model[2].weight.norm(),
}


@pytest.mark.parametrize("method", ["k-fac", "ek-fac"])
@pytest.mark.parametrize("name", PENALTIES)
def test_factors_are_of_the_loss_and_the_way_down_is_of_the_penalty_too(name, method):
    penalized = Method(method)
    after = run(script(loss_of=penalized_by(PENALTIES[name]), steps=8), [penalized])[:4]
    assert "8 steps, 8 of them down" in penalized.told()
    plain = run(script(loss_of=by_entropy, steps=8), [Method(method)])[:4]
    size = lambda tensors: sum(float(x.square().sum()) for x in tensors)
    assert size(after) < 0.5 * size(plain)


def test_a_penalty_leaves_the_factors_as_they_are():
    x, y = table()
    model = network()
    params = dict(model.named_parameters())
    output = lambda p: functional_call(model, p, x)
    beside = lambda p: 2 * sum(one.square().sum() for one in p.values())
    entropy = lambda z: F.cross_entropy(z, y)
    parts = Parts(
        lambda p: [beside(p), output(p)], lambda o: o[0] + entropy(o[1]), [F.cross_entropy], True
    )
    kept = of_samples(parts)
    pieces = Piece(kept.output, kept.loss), Piece(output, entropy)
    whole, alone = (Kronecker.of_pieces([one], params, Settings()) for one in pieces)
    v = torch.randn(whole.size, dtype=torch.float64)
    torch.testing.assert_close(whole @ v, alone @ v, rtol=1e-12, atol=0)


# A loss that is maximized has no Gauss-Newton matrix; of a penalty in the script it knows the slope
# alone, of a decay the curvature too.
WITHOUT_MATRIX = {"uphill", "decay in the gradient"}


@pytest.mark.parametrize(
    "name, method",
    [
        *((name, "l-bfgs") for name in SAME),
        *((name, "levenberg-marquardt") for name in SAME if name not in WITHOUT_MATRIX),
    ],
)
def test_only_the_loss_counts(name, method):
    one, other = SAME[name]
    left, right = run(one, [Method(method)]), run(other, [Method(method)])
    equal(left[:4], right[:4], 1e-7)
    different([*run(passing(at_once))[:4], 0], [*left[:4], 0])


def noisy(kind=SGD, steps=6):
    """Minibatches, dropout, and batch normalization of the data themselves."""
    seen = []

    def training():
        x, y = table()
        model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3))
        model.double()
        optimizer = kind(model.parameters(), lr=0.1)
        for _ in range(steps):
            rows = torch.randperm(40)[:16]
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            before = [p.grad.clone() for p in model.parameters()]
            optimizer.step()
            kept = all(map(torch.equal, before, (p.grad for p in model.parameters())))
            seen.append((kept, len(optimizer.state)))
        return [*model.buffers()]

    return training, seen


@pytest.mark.parametrize("method", ["l-bfgs", "newton-cg", "hessian-free"])
def test_buffers_draws_and_gradients_are_the_scripts_own(method):
    training, seen = noisy()
    # statistics of the data, and the state of the generator last
    equal(run(training, [Method(method)]), run(noisy()[0]))
    assert seen == [(True, 0)] * 6


def test_all_trials_of_a_step_have_one_mask():
    """With one mask the loss is a parabola along the gradient, on which the exact step is known."""
    weight = torch.linspace(1, 2, 12, dtype=torch.float64)

    def training():
        w = nn.Parameter(weight.clone())
        optimizer = SGD([w], lr=1.0)
        loss = (F.dropout(w, 0.5) - 3).square().sum()
        loss.backward()
        optimizer.step()
        return [w]

    torch.manual_seed(11)
    kept = F.dropout(torch.ones(12, dtype=torch.float64), 0.5) != 0
    assert 0 < kept.sum() < 12
    (found, _) = run(training, [Method("newton-cg")])
    torch.testing.assert_close(found, torch.where(kept, 1.5, weight), rtol=1e-9, atol=1e-9)


def test_the_tape_holds_one_step():
    method, held = Method("l-bfgs"), []

    def counting(model, optimizer, step):
        held.append(len(method._tape.values))

    run(script(before_step=counting), [method])
    assert held[0] > 0
    assert len(set(held)) == 1


def test_the_scheduler_and_the_saved_state_are_the_scripts_own():
    def training():
        x, y = table()
        model = network()
        optimizer = SGD(model.parameters(), lr=0.4, momentum=0.9)
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, 5)
        rates = []
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
            rates += schedule.get_last_lr()
        SGD(model.parameters(), lr=1.0).load_state_dict(optimizer.state_dict())
        return rates

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(training, [Method("l-bfgs")])[:5] == run(training)[:5]


def adversaries(steps=3):
    """Two optimizers, each with a loss that the other one's parameters enter."""

    def training():
        torch.manual_seed(1)
        a, b = (nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2))
        first, second = SGD([a], lr=0.1), Adam([b], lr=0.1)
        for _ in range(steps):
            first.zero_grad()
            ((a - b).square().sum() + a.square().sum()).backward()
            first.step()
            second.zero_grad()
            (b - 3 * a).square().sum().backward()
            second.step()
        return [a, b]

    return training


def test_several_optimizers_take_turns():
    torch.manual_seed(1)
    _, b = (torch.randn(3, dtype=torch.float64) for _ in range(2))
    for _ in range(3):
        a = b / 2
        b = 3 * a
    method = Method("newton")
    equal(run(adversaries(), [method])[:2], [a, b], 1e-9)
    assert method.told().count("made 3 steps") == 2


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_two_optimizers_of_one_loss_go_down_it_one_after_the_other(kind):
    """The second finds the first's parameters moved: block coordinate descent, by Newton's step."""

    def training():
        torch.manual_seed(1)
        a, b = (nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2))
        first, second = kind([a], lr=0.1), kind([b], lr=0.1)
        for _ in range(3):
            first.zero_grad()
            second.zero_grad()
            ((a - b).square().sum() + a.square().sum() + (b - 2).square().sum()).backward()
            first.step()
            second.step()
        return [a, b]

    torch.manual_seed(1)
    _, b = (torch.randn(3, dtype=torch.float64) for _ in range(2))
    for _ in range(3):
        a = b / 2
        b = (a + 2) / 2
    method = Method("newton")
    equal(run(training, [method])[:2], [a, b], 1e-9)
    assert method.told().count("made 3 steps, 3 of them down") == 2


def test_parameters_that_come_later_begin_anew():
    def training():
        x, y = table()
        model = network()
        optimizer = SGD(model[2].parameters(), lr=0.1)
        losses = []
        for step in range(8):
            if step == 4:
                optimizer.add_param_group({"params": model[0].parameters()})
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    method = Method("l-bfgs")
    losses = run(training, [method])[:8]
    assert losses == sorted(losses, reverse=True)
    assert "l-bfgs made 8 steps, 8 of them down" in method.told()


def test_complex_parameters_are_pairs_of_numbers():
    target = torch.tensor([1 + 2j, -3j], dtype=torch.complex128)

    def training():
        w = nn.Parameter(torch.zeros(2, dtype=torch.complex128))
        optimizer = SGD([w], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            (w - target).abs().square().sum().backward()
            optimizer.step()
        return [w]

    (found, _) = run(training, [Method("newton")])
    torch.testing.assert_close(found, target, rtol=1e-12, atol=1e-12)


def test_a_loss_that_is_no_number_moves_nothing():
    def training():
        x, y = table()
        model = network()
        optimizer = SGD(model.parameters(), lr=0.1)
        (F.cross_entropy(model(x), y) * math.nan).backward()
        optimizer.step()
        return model.parameters()

    method = Method("l-bfgs")
    equal(run(training, [method])[:4], run(passing(at_once, steps=0))[:4])
    assert method.told().endswith("the last: not finite, the loss or its gradient is no number")


def test_the_best_a_method_can_do_is_not_searched_for_twice():
    method = Method("newton")
    run(script(steps=60, loss_of=penalized), [method])
    losses = int(method.told().split(": ")[1].split()[0])
    assert losses < 60
    assert "the last: stalled" in method.told()


class Cube(torch.autograd.Function):
    """What no tape can see into."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x * x * gradient


def scaling(model, optimizer, x, y):
    torch.amp.GradScaler("cpu").scale(F.cross_entropy(model(x), y)).backward()


hidden = lambda model, x, y: F.cross_entropy(Cube.apply(model(x)), y)
own = lambda model, x, y: (model(x) - 1).pow(4).mean()
inflated = lambda model, x, y: F.cross_entropy(model(x), y) * model[0].bias.exp().sum()
anchored = lambda model, x, y: F.cross_entropy(model(x), y) + F.mse_loss(model[0].bias, y[:6] / 2)
halved = lambda model, x, y: F.cross_entropy(model(x), y) / 2
wide = lambda: nn.Sequential(nn.Linear(4, 2000), nn.Linear(2000, 3)).double()
single = lambda: network().bfloat16()
low = lambda model, x, y: F.cross_entropy(model(x.bfloat16()).double(), y)

# name: (the method, the script, what is said)
REFUSED = {
    "hidden": ("l-bfgs", script(loss_of=hidden), "a value that no visible call computed"),
    "scaled": ("l-bfgs", passing(scaling), r"GradScaler\(enabled=False\)"),
    "no gradient": ("l-bfgs", passing(lambda *_: None), "no backward pass"),
    "no loss function": ("hessian-free", script(loss_of=own), "a loss function of PyTorch"),
    "no penalty": ("k-fac", script(loss_of=inflated), "penalties that are added"),
    "no samples": ("k-fac", script(loss_of=anchored), r"shapes \(6,\), \(40, 3\).*a penalty"),
    "no likelihood": ("natural-gradient", script(loss_of=halved), "hessian-free, or l-bfgs"),
    "uphill": ("hessian-free", script(loss_of=uphill, maximize=True), "maximized"),
    "too large": ("bfgs", script(make=wide), "16003 x 16003 numbers; l-bfgs does without"),
    "few digits": ("l-bfgs", script(make=single, loss_of=low), "bfloat16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused(name):
    method, training, said = REFUSED[name]
    with pytest.raises(InterventionError, match=f"method {method}.*{said}"):
        run(training, [Method(method)])


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(InterventionError, match="several processes"):
        run(script(), [Method("l-bfgs")])


def test_a_script_without_an_optimizer_is_told_of():
    method = Method("l-bfgs")
    equal(run(by_hand(0.1), [method]), run(by_hand(0.1)))
    assert method.told() == (
        "l-bfgs: the script made no optimizer to answer, so nothing was changed"
    )


@pytest.mark.parametrize(
    "name, kind, known",
    [
        *((name, "optimizer", name) for name in OPTIMIZERS),
        *((name, "method", name) for name in DIRECTIONS),
        ("AdamW", "optimizer", "adamw"),
        ("sgd-schedule-free", "optimizer", "sgdschedulefree"),
        ("LBFGS", "method", "l-bfgs"),
        ("l_bfgs", "method", "l-bfgs"),
        ("Newton-CG", "method", "newton-cg"),
        ("CG", "method", "polak-ribiere+"),
        ("lm", "method", "levenberg-marquardt"),
        ("GN", "method", "gauss-newton"),
        ("gradient descent", "method", "steepest-descent"),
    ],
)
def test_one_registry_of_names(name, kind, known):
    assert updates_named(name) == (kind, known)


@pytest.mark.parametrize(
    "name, said",
    [
        ("lbgfs", "did you mean 'l-bfgs' or 'bfgs'"),
        ("levenberg", "did you mean 'levenberg-marquardt'? `"),
        ("newton_cgg", "did you mean 'newton-cg' or 'newton' or 'gauss-newton'? `"),
        ("nothing like it", "'nothing like it'; `thalweg explain` lists all names"),
    ],
)
def test_an_unknown_name_gets_the_few_nearest_and_the_way_to_all(name, said):
    with pytest.raises(InterventionError) as caught:
        updates_named(name)
    assert str(caught.value).startswith(f"there is no optimizer or method {name!r}; ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 160


def test_reaches_at_least_as_far_as_pytorchs_closure():
    """The script edited for torch.optim.LBFGS, with as many pairs and as many steps."""

    def edited():
        x, y = table()
        model = network()
        optimizer = torch.optim.LBFGS(
            model.parameters(), max_iter=1, history_size=10, line_search_fn="strong_wolfe"
        )
        calls = []

        def closure():
            calls.append(None)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(30):
            optimizer.step(closure)
        return [F.cross_entropy(model(x), y).item(), len(calls)]

    method = Method("l-bfgs")
    loss = run(script(steps=31), [method])[-2]
    theirs, calls = run(edited)[:2]
    ours = int(method.told().split(": ")[1].split()[0])
    assert loss <= theirs
    assert ours <= calls
