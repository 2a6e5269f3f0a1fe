"""K-FAC and EKFAC as directions: averages, intervals, lengths and momenta, damping, states.

One linear layer under squared error has a Gauss-Newton matrix that Kronecker factors hold exactly.
"""

import io

import pytest
import torch
from second_order_places import At, descend, turned, vector
from torch import nn
from torch.nn import functional as F

from thalweg.minimize import Objective, minimize
from thalweg.minimize.directions.kronecker_natural_gradient import KroneckerNaturalGradient
from thalweg.minimize.directions.natural_gradient import NaturalGradient
from thalweg.minimize.directions.quadratic_model import combined
from thalweg.operators import EigenvalueCorrected, GaussNewton, Kronecker, Layout, Matrix
from thalweg.operators.evaluation import Piece, Settings

INPUTS = vector(60, seed=7).reshape(30, 2)
LABELS = (INPUTS[:, 0] * INPUTS[:, 1] > 0).double()


def factors(output, loss, params, settings, kind=Kronecker, basis=None):
    """Factors of one batch, in a basis of others."""
    pieces = [Piece(output, loss)]
    if basis is None:
        return kind.of_pieces(pieces, params, settings)
    return EigenvalueCorrected.in_basis_of(basis, pieces, params, settings)


def by_gradient_descent(at, steps):
    """The loss after plain steps of rate 1."""
    x = at.x.clone().requires_grad_()
    plain = torch.optim.SGD([x], lr=1.0)
    for _ in range(steps):
        plain.zero_grad()
        at.loss(x).backward()
        plain.step()
    return at.loss(x).item()


LAYOUT = Layout.of({"w": torch.zeros(2, 3).double(), "b": torch.zeros(2).double()})


class Linear:
    """A linear layer on its own data, with its exact matrix and its factors."""

    def __init__(self, seed=11):
        self.inputs = vector(60, seed=seed).reshape(20, 3)
        self.targets = vector(40, seed=seed + 1).reshape(20, 2)

    def output(self, params):
        return F.linear(self.inputs, params["w"], params["b"])

    def of_output(self, output):
        return (output - self.targets).square().sum() / 40

    def loss(self, x):
        return self.of_output(self.output(LAYOUT.unflatten(x)))

    def kronecker(self, x, settings):
        return factors(self.output, self.of_output, LAYOUT.unflatten(x), settings)

    def corrected(self, x, settings, basis=None):
        params = LAYOUT.unflatten(x)
        return factors(self.output, self.of_output, params, settings, EigenvalueCorrected, basis)

    def matrix(self):
        rows = torch.cat([self.inputs, torch.ones(20, 1).double()], 1)
        a = rows.T @ rows / 20
        whole = torch.kron(torch.eye(2).double(), a)  # w and b of each output together
        order = [0, 1, 2, 4, 5, 6, 3, 7]
        return whole[order][:, order]

    def at(self, x, factors_of=None):
        given = factors_of or self
        exact = lambda _: Matrix(self.matrix(), facts={"psd"})
        return At(
            self.loss,
            x,
            gauss_newton=exact,
            fisher=exact,
            kronecker=given.kronecker,
            eigenvalue_corrected=given.corrected,
        )


def k_fac(**settings):
    return KroneckerNaturalGradient(**{"damping": 0.3, "split": "exact", **settings})


def test_the_matrix_by_hand_is_the_loss_s_hessian():
    assert torch.allclose(Linear().matrix(), Linear().at(vector(8)).dense())


@pytest.mark.parametrize("corrected", [False, True])
def test_exact_factors_give_the_dense_natural_gradient(corrected):
    at = Linear().at(vector(8))
    direction, dense = k_fac(corrected=corrected), NaturalGradient(damping=0.3)
    got, want = direction.propose(at), dense.propose(at)
    assert direction.damping == pytest.approx(dense.damping)
    assert torch.allclose(got.vector, want.vector, rtol=1e-9)
    assert got.curvature == pytest.approx(want.curvature)
    assert got.slope == pytest.approx(want.slope)


def directions_taken(direction, layers, at):
    """d / |d| at the same place, with the factors of one layer after another."""
    for layer in layers:
        d = direction.propose(
            At(
                at.loss,
                at.x,
                **{
                    **at.others,
                    "kronecker": layer.kronecker,
                    "eigenvalue_corrected": layer.corrected,
                },
            )
        ).vector
        yield d / d.norm()


def solved(matrix, at, damping):
    delta = -torch.linalg.solve(matrix + damping * torch.eye(8).double(), at.gradient)
    return delta / delta.norm()


def test_factors_are_averaged_over_the_steps():
    layers = [Linear(seed) for seed in (11, 21, 31)]
    direction, at = k_fac(momentum=0.0, decay=0.6), Linear().at(vector(8))
    mean = torch.zeros(8, 8).double()
    found = directions_taken(direction, layers, at)
    for layer, decay, d in zip(layers, (0.0, 0.5, 0.6), found, strict=True):
        mean = decay * mean + (1 - decay) * layer.matrix()
        assert torch.allclose(d, solved(mean, at, direction.damping), rtol=1e-8)


def test_corrected_eigenvalues_are_averaged_in_eigenvectors_that_wait():
    # The derivatives do not depend on the sample, so the corrected eigenvalues of one layer are
    # the diagonal of its matrix in whatever basis.
    layers = [Linear(seed) for seed in range(11, 71, 10)]
    direction = k_fac(momentum=0.0, decay=0.6, corrected=True, eigenvectors_every=4)
    at, mean = Linear().at(vector(8)), torch.zeros(8, 8).double()
    basis = held = None
    found = directions_taken(direction, layers, at)
    for step, (layer, d) in enumerate(zip(layers, found, strict=True)):
        decay = min(1 - 1 / (step + 1), 0.6)
        mean = decay * mean + (1 - decay) * layer.matrix()
        if held is not None:
            held = decay * held + (1 - decay) * in_basis(basis, layer.matrix())
        if step in {0, 1, 2, 4}:  # the first steps, and then every fourth
            basis = torch.linalg.eigh(mean).eigenvectors
            held = in_basis(basis, mean if held is None else held)
        assert torch.allclose(d, solved(held, at, direction.damping), rtol=1e-7), step


def in_basis(basis, matrix):
    """The diagonal of a matrix in a basis, as a matrix."""
    return basis @ (basis.T @ matrix @ basis).diagonal().diag() @ basis.T


def test_factors_and_eigenvectors_wait_for_their_steps():
    layers = [Linear(seed) for seed in range(11, 91, 10)]
    direction = k_fac(momentum=0.0, decay=1.0, factors_every=2, eigenvectors_every=3)
    at, seen, used = Linear().at(vector(8)), [], None
    # Steps 0, 1, 2 come first; then factors at 4 and 6, eigenvectors at 3 and 6.
    made, apart = {0, 1, 2, 4, 6}, {0, 1, 2, 3, 6}
    found = directions_taken(direction, layers, at)
    for step, (layer, d) in enumerate(zip(layers, found, strict=True)):
        if step in made:
            seen.append(layer.matrix())
        if step in apart:
            used = torch.stack(seen).mean(0)  # of all, by the bias correction of a decay of 1
        assert torch.allclose(d, solved(used, at, direction.damping), rtol=1e-8), step


def test_the_length_and_the_momentum_minimize_the_exact_model():
    layer, crude = Linear(), Linear(seed=41)  # factors of other data: not the exact matrix
    start = layer.at(vector(8), crude)
    direction = k_fac(decay=0.0)
    first = direction.propose(start)
    there = start.moved(first.vector)
    direction.moved(start, there)
    second = direction.propose(there)
    b, damping, g = layer.matrix(), direction.damping, there.gradient
    damped = b + damping * torch.eye(8).double()
    delta = -torch.linalg.solve(crude.matrix() + damping * torch.eye(8).double(), g)
    basis = torch.stack([delta, first.vector], 1)
    weights = torch.linalg.solve(basis.T @ damped @ basis, -basis.T @ g)
    assert torch.allclose(second.vector, basis @ weights, rtol=1e-7)
    assert second.curvature == pytest.approx(float(second.vector @ b @ second.vector))
    alone = k_fac(momentum=0.0)
    alone.propose(start)
    alone.moved(start, there)
    d = alone.propose(there).vector
    assert alone.damping == pytest.approx(damping)
    assert d @ delta / (d.norm() * delta.norm()) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("step, momentum", [(0.2, 0.7), (None, 0.7), (0.2, None), (0.2, 0.0)])
def test_the_length_and_the_momentum_may_be_given(step, momentum):
    layer, crude = Linear(), Linear(seed=41)
    start = layer.at(vector(8), crude)
    direction = k_fac(decay=0.0, step=step, momentum=momentum, damping_every=None)
    first = direction.propose(start).vector
    there = start.moved(first)
    direction.moved(start, there)
    second = direction.propose(there)
    damping, g, b = direction.damping, there.gradient, layer.matrix()
    delta = -torch.linalg.solve(crude.matrix() + damping * torch.eye(8).double(), g)
    # Whatever is not given is where the model is flat.
    slopes = g + b @ second.vector + damping * second.vector
    weights = torch.linalg.lstsq(torch.stack([delta, first], 1), second.vector).solution
    for given, weight, along in zip((step, momentum), weights, (delta, first), strict=True):
        if given is None:
            assert abs(slopes @ along) < 1e-10 * slopes.norm() * along.norm()
        else:
            assert weight == pytest.approx(given, abs=1e-10)
    assert second.curvature == pytest.approx(float(second.vector @ b @ second.vector))


def test_a_penalty_s_curvature_is_added_to_the_matrix_and_the_factors():
    layer, c = Linear(), 0.4
    loss = lambda x: layer.loss(x) + c * x @ x / 2
    at = At(loss, vector(8), **layer.at(vector(8)).others)
    proposal = (direction := k_fac(penalty=c)).propose(at)
    b = layer.matrix() + c * torch.eye(8).double()
    want = -torch.linalg.solve(b + direction.damping * torch.eye(8).double(), at.gradient)
    assert torch.allclose(proposal.vector, want, rtol=1e-8)
    assert proposal.curvature == pytest.approx(float(want @ b @ want))


@pytest.mark.parametrize(
    "every, ratio_is_good, factors_of_damping",
    [(1, True, [0.5, 0.25, 0.125]), (2, True, [1, 0.5, 0.5]), (None, True, [1, 1, 1]),
     (1, False, [2, 4, 8])],
)  # fmt: skip
def test_the_damping_follows_the_ratio_at_its_steps(every, ratio_is_good, factors_of_damping):
    layer = Linear()
    at = layer.at(vector(8))
    direction, found = k_fac(damping_every=every, damping_factor=0.5), []
    for _ in factors_of_damping:
        d = direction.propose(at).vector
        start = start_of(found, direction)
        direction.moved(at, at.moved(d if ratio_is_good else -d))
        found.append((direction.damping, start))
    assert [value / found[0][1] for value, _ in found] == pytest.approx(factors_of_damping)


def start_of(found, direction):
    """The damping at the first step."""
    return found[0][1] if found else direction.damping


def test_directions_that_say_the_same_are_counted_once():
    a, _ = turned(torch.linspace(1, 4, 5))
    g, u = vector(5), vector(5, seed=5)
    want = -(g @ u) / (u @ a @ u) * u
    for basis in ([u], [u, -2 * u], [torch.zeros(5).double(), u]):
        d, curvature = combined(Matrix(a), g, basis, 0.0)
        assert torch.allclose(d, want)
        assert curvature == pytest.approx(float(want @ a @ want))
    assert not combined(Matrix(a), g, [torch.zeros(5).double()], 0.0)[0].any()


class Net(nn.Module):
    """Layers of several kinds, with dropout and batch statistics of its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1)
        )

    def forward(self, x):
        return self.layers(x)[:, 0]


def net(seed=0, dropout=False):
    torch.manual_seed(seed)
    return Net().double().train(dropout)


def objective_of(model, **options):
    return Objective.of_model(model, nn.BCEWithLogitsLoss(), (INPUTS, LABELS), **options)


@pytest.mark.parametrize("name", ["k-fac", "ek-fac"])
def test_a_net_is_trained_by_name(name):
    objective = objective_of(net(1))
    start = At(lambda x: objective_loss(net(1), x), objective.start)
    result = minimize(objective, objective.start, direction=name, max_evaluations=20)
    assert result.value < by_gradient_descent(start, 200)
    model = net(1)
    nn.utils.vector_to_parameters(result.x, model.parameters())
    assert F.binary_cross_entropy_with_logits(model(INPUTS), LABELS).item() == pytest.approx(
        result.value
    )


def objective_loss(model, x):
    layout = Layout.of({name: p.detach() for name, p in model.named_parameters()})
    output = torch.func.functional_call(model, layout.unflatten(x), (INPUTS,))
    return F.binary_cross_entropy_with_logits(output, LABELS)


def test_a_model_s_objective_has_its_matrices():
    model = net()
    objective = objective_of(model)
    assert objective.offers == {
        "hessian", "gauss-newton", "fisher", "kronecker", "eigenvalue-corrected"
    }  # fmt: skip
    x = objective.start + 0.1 * vector(objective.size)
    at = At(lambda x: objective_loss(net(), x), x)
    value, gradient = objective.evaluate(x)
    assert value == pytest.approx(at.value)
    assert torch.allclose(gradient, at.gradient)
    assert torch.allclose(objective.operator("hessian", x).to_dense(), at.dense())
    nn.utils.vector_to_parameters(x, model.parameters())
    batch = (INPUTS, LABELS)
    exact = GaussNewton.of_model(model, nn.BCEWithLogitsLoss(), batch).to_dense()
    for need in ("gauss-newton", "fisher"):
        assert torch.allclose(objective.operator(need, x).to_dense(), exact)
    plain = Kronecker.of_model(model, nn.BCEWithLogitsLoss(), batch)
    corrected = EigenvalueCorrected.of_model(model, nn.BCEWithLogitsLoss(), batch)
    assert torch.allclose(objective.kronecker(x, Settings()).to_dense(), plain.to_dense())
    found = objective.eigenvalue_corrected(x, Settings(), None)
    assert torch.allclose(found.to_dense(), corrected.to_dense())


def test_a_model_in_training_is_one_function_and_stays_as_it_is():
    model = net(dropout=True)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    objective, state = objective_of(model), torch.get_rng_state()
    x = objective.start
    values = [objective.evaluate(x)[0]]
    torch.rand(3)
    for make in (
        lambda x: objective.kronecker(x, Settings()),
        lambda x: objective.operator("gauss-newton", x),
    ):
        operator = make(x)
        values.append(operator.loss)
        assert torch.allclose(operator.gradient, objective.evaluate(x)[1])
    values.append(objective.evaluate(x)[0])
    assert values == pytest.approx([values[0]] * 4, rel=1e-12)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    objective.evaluate(x + 1)
    torch.set_rng_state(state)
    assert objective.evaluate(x)[0] == values[0]


def test_batches_weigh_as_their_samples():
    parts = [(INPUTS[:7], LABELS[:7]), (INPUTS[7:], LABELS[7:])]
    whole = objective_of(net())
    apart = Objective.of_model(net(), nn.BCEWithLogitsLoss(), parts)
    x = whole.start
    assert apart.evaluate(x)[0] == pytest.approx(whole.evaluate(x)[0])
    assert torch.allclose(apart.evaluate(x)[1], whole.evaluate(x)[1])


def test_a_loss_of_no_known_likelihood_has_no_fisher():
    hinge = lambda z, y: (1 - z * (2 * y - 1)).clamp(min=0).square().mean()
    objective = Objective.of_model(net(), hinge, (INPUTS, LABELS))
    assert "fisher" not in objective.offers
    assert "kronecker" in objective.offers


def test_an_objective_without_layers_says_what_it_lacks():
    plain = Objective(lambda x: x.square().sum(), torch.ones(3))
    with pytest.raises(ValueError, match="needs the matrix 'gauss-newton'"):
        minimize(plain, torch.ones(3), direction="k-fac")
    for ask in (lambda: plain.kronecker(torch.ones(3), Settings()),
                lambda: plain.eigenvalue_corrected(torch.ones(3), Settings(), None)):  # fmt: skip
        with pytest.raises(ValueError, match="give Objective"):
            ask()


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("every", [(1, 1), (2, 3)])
def test_a_direction_goes_on_exactly_from_a_file(corrected, every):
    first, second = (
        k_fac(corrected=corrected, factors_every=every[0], eigenvectors_every=every[1])
        for _ in range(2)
    )
    middle = descend(first, Linear().at(vector(8)), 4)[-1]
    file = io.BytesIO()
    saved = first.state_dict()
    torch.save(saved, file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for at in (other_data(middle), other_data(middle, 51), other_data(middle, 61)):
        one, other = first.propose(at), second.propose(at)
        assert torch.equal(one.vector, other.vector)
        for direction in (first, second):
            direction.moved(at, at.moved(one.vector))
    fresh = k_fac(corrected=corrected)
    fresh.load_state_dict({**saved, "factors": k_fac(corrected=corrected).state_dict()["factors"]})
    assert not torch.equal(fresh.propose(other_data(middle)).vector, one.vector)


def test_a_step_that_was_proposed_before_saving_is_judged_after_loading():
    at, (first, second) = Linear().at(vector(8)), (k_fac(), k_fac())
    d = first.propose(at).vector
    second.load_state_dict(first.state_dict())
    for direction in (first, second):
        direction.moved(at, at.moved(-d))
    assert second.damping == first.damping > 0
    assert first.damping > k_fac_damping(at)


def k_fac_damping(at):
    """The damping of a first step."""
    (direction := k_fac()).propose(at)
    return direction.damping


def other_data(at, seed=21):
    """The same place, with the factors of other data."""
    layer = Linear(seed)
    others = {"kronecker": layer.kronecker, "eigenvalue_corrected": layer.corrected}
    return At(at.loss, at.x, **{**at.others, **others})


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"decay": 2.0}, r"\(decay=2.0\)"),
        ({"damping": 0.0}, r"\(damping=0.0\)"),
        ({"split": "half"}, "choose one of exact, factored"),
        ({"step": 0.0}, r"\(step=0.0\)"),
        ({"momentum": -1.0}, r"\(momentum=-1.0\)"),
        ({"damping_every": -2}, r"\(damping_every=-2\)"),
        ({"damping_factor": 1.5}, r"\(damping_factor=1.5\)"),
        ({"factors_every": 0}, r"\(factors_every=0\)"),
        ({"eigenvectors_every": 0}, r"\(eigenvectors_every=0\)"),
        ({"kind": "mc"}, r"\(kind='mc'\)"),
        ({"draws": 0}, r"\(draws=0\)"),
        ({"sharing": "none"}, r"\(sharing='none'\)"),
        ({"penalty": -1.0}, r"\(penalty=-1.0\)"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(ValueError, match=says):
        KroneckerNaturalGradient(**settings)


def test_where_the_model_has_no_curvature_it_goes_down_the_gradient():
    """A sigmoid that is quite sure, and wrong: of slope one, and to rounding of no curvature."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(800.0)
    x = torch.ones(8, 1)
    objective = Objective.of_model(
        model, F.binary_cross_entropy_with_logits, (x, torch.zeros(8, 1))
    )
    result = minimize(objective, objective.start, direction="k-fac")
    assert result.history[1].value < result.history[0].value == 800
    assert result.value < 1e-3
