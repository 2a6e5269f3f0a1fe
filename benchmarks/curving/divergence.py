"""The learning rate at which gradient descent diverges: predicted, and measured by descending.

What is measured knows nothing of curvature: `torch.optim.SGD` steps away from a minimum that was
displaced a little, and the rate is bisected at which the displacement grows instead of shrinking.
"""

import copy

import torch
from section import Aim, Section, sure
from torch import nn

from curving.networks import Problem, mlp
from thalweg.curvature import Hessian, learning_rate

WORDS = """`learning_rate` predicts the largest stable rate; `torch.optim.SGD` is bisected for
the rate at which a small displacement from the minimum begins to grow. Quadratics: 50
parameters, condition numbers 10 to 10,000, float64. Nets: perceptrons trained to a minimum in
float64."""

SETTINGS = (
    ("gradient-descent", {}),
    ("momentum", {"momentum": 0.9}),
    ("nesterov", {"momentum": 0.9, "nesterov": True}),
)


def measure(scale):
    section = Section("Predicted and measured divergence", WORDS, HEAD)
    worst = {}
    for title, kind, problem, bisections in problems(scale.quick):
        for method, settings in SETTINGS[: 1 if scale.quick else None]:
            predicted = prediction(problem, method, settings)
            found = threshold(problem, settings, predicted, bisections)
            error = abs(predicted - found) / found
            seen = kind if method == "gradient-descent" else "other"
            worst[seen] = max(worst.get(seen, 0.0), error)
            cells = [f"{predicted:.10g}", f"{found:.10g}", sure(error)]
            section.rows.append([f"{title}, {method}", *cells])
    section.notes += beside(worst)
    section.aims += aims(worst)
    return section


def beside(worst):
    """What the aims, which are of gradient descent, leave out."""
    return [f"with momentum at most {worst['other']:.1%} off"] if "other" in worst else []


def aims(worst):
    return [
        Aim("gradient descent on quadratics: at most 1e-8 off", worst["quadratic"], 1e-8),
        Aim("gradient descent on nets: at most 1 % off", worst["net"], 0.01),
    ]


HEAD = ["", "predicted", "measured", "error"]


def problems(quick):
    """Titles, kinds, problems at a minimum, and bisections of a factor of nine."""
    for condition in (10.0,) if quick else (10.0, 1e3, 1e4):
        yield f"quadratic, {condition:g}", "quadratic", quadratic(condition), 34
    for seed in range(1 if quick else 3):
        yield f"net {seed}", "net", net(seed), 14


class Position(nn.Module):
    """A model that is its parameters."""

    def __init__(self, at):
        super().__init__()
        self.at = nn.Parameter(at)

    def forward(self, _):
        return self.at


class Bowl:
    """x' A x / 2, a loss of the position."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, x, _):
        return x @ self.matrix @ x / 2


def quadratic(condition, size=50):
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), size, dtype=torch.float64)
    matrix = basis @ torch.diag(values * 3.7) @ basis.T
    nothing = torch.zeros(1)
    at = torch.zeros(size, dtype=torch.float64)
    return Problem("", Position(at), Bowl((matrix + matrix.T) / 2), [(nothing, nothing)])


def net(seed):
    """A perceptron at a minimum, as far down as L-BFGS comes."""
    torch.manual_seed(seed)
    model = mlp((3, 6, 2)).double()
    inputs = torch.randn(40, 3, dtype=torch.float64)
    targets = mlp((3, 6, 2)).double()(inputs).detach() + 0.3 * torch.randn(40, 2)
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=20_000,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = nn.functional.mse_loss(model(inputs), targets)
        value.backward()
        return value

    optimizer.step(closure)
    return Problem("", model, nn.MSELoss(), [(inputs, targets)])


def prediction(problem, method, settings):
    """The largest stable rate by our reckoning."""
    model, loss, data = problem.model, problem.loss, problem.data
    with Hessian.of_model(model, loss, data, reduction="mean") as hessian:
        found = learning_rate(hessian, method=method, momentum=settings.get("momentum"), tol=1e-10)
    return found.maximal.value


def threshold(problem, settings, about, bisections):
    """The rate at which a displacement begins to grow, by bisection."""
    low, high = about / 3, 3 * about
    for _ in range(bisections):
        middle = (low * high) ** 0.5
        if grows(problem, middle, settings):
            high = middle
        else:
            low = middle
    return (low * high) ** 0.5


DISPLACEMENT = 1e-5
SETTLED, STEPS = 50, 2000  # after which other directions have died away: about, and to 1e-9
LEFT = 1e3  # times the first gradient, where it has left but the loss is still a parabola
FAR, NEAR = 10.0, 0.1  # times the settled gradient, beyond which more steps would say the same


def grows(problem, rate, settings):
    """Whether descent leaves the minimum, by the length of its gradients.

    Gradients rather than places, since flat directions die away slowly and have small gradients.
    """
    model = copy.deepcopy(problem.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += DISPLACEMENT * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, **settings)
    lengths = []
    for _ in range(STEPS):
        lengths.append(descended(model, problem, optimizer))
        if not lengths[-1] < LEFT * lengths[0]:
            return True
        if len(lengths) > SETTLED and not NEAR < lengths[-1] / lengths[SETTLED] < FAR:
            break
    return lengths[-1] > lengths[-3]


def descended(model, problem, optimizer):
    """A step; the length of the gradient that it took."""
    ((inputs, targets),) = problem.data
    optimizer.zero_grad()
    problem.loss(model(inputs), targets).backward()
    optimizer.step()
    return float(sum((p.grad * p.grad).sum() for p in model.parameters())) ** 0.5
