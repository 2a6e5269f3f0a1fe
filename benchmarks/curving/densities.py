"""The density of a spectrum from equal products, against all eigenvalues.

How far a density is from the truth is the Wasserstein distance of order 1, the integral of the
difference of the cumulative distributions, here over the distance from the smallest to the largest
eigenvalue. What a library returns is taken as it is: nodes with weights as steps, a density on a
grid by its integral.
"""

import statistics

import torch
from section import Aim, Section

from curving.networks import trained
from curving.peers import OURS, absent, in_a_line, present
from curving.reference import small_hessian
from curving.traces import Dense
from thalweg.linalg import spectral_density

STAGES, BUDGETS, SEEDS, PROBES = (0, 60), (60, 200), 20, 4
POINTS = 20_001
WORDS = f"""The Hessian of the same net after 0 and 60 steps, n = 1,614. The distance is
Wasserstein's of order 1, in thousandths of the spectrum's width, a mean over {SEEDS} seeds.
Other libraries share their products among {PROBES} random vectors, ours among {PROBES} at most;
curvlinops is told the ends of the spectrum, which it would otherwise spend products on."""


def measure(scale):
    section = Section("The spectral density", WORDS, [""])
    columns = [(stage, budget) for stage in STAGES for budget in BUDGETS]
    columns = columns[-1:] if scale.quick else columns
    section.head += [f"{stage} steps, {budget}" for stage, budget in columns]
    seeds, ratios = range(2 if scale.quick else SEEDS), []
    makers = {OURS: ours}
    for name in present(scale.peers):
        makers |= THEIRS.get(name, {})
    found = {
        name: [mean_distance(make, *column, seeds, name, section) for column in columns]
        for name, make in makers.items()
    }
    for name, values in found.items():
        section.rows.append([name, *("–" if x is None else f"{1e3 * x:.2f}" for x in values)])
    for i, mine in enumerate(found[OURS]):
        others = [values[i] for name, values in found.items() if name != OURS and values[i]]
        ratios += [mine / min(others)] if others else []
    section.notes += absent(scale.peers)
    most = max(ratios) if ratios else None
    section.aims.append(
        Aim("the lowest distance of all", most, 1.0, shown=f"{most or 0:.2f} of the best other")
    )
    return section


def mean_distance(make, stage, budget, seeds, name, section):
    spectrum = small_hessian(stage)[1]
    try:
        found = [distance(make(stage, budget, seed), spectrum) for seed in seeds]
    except Exception as error:
        note = f"{name}: {in_a_line(error)}"
        section.notes += [note] * (note not in section.notes)
        return None
    return statistics.mean(found)


def distance(cumulative, spectrum):
    """Wasserstein's, over the spectrum's width; `cumulative` maps places to shares below them."""
    width = float(spectrum[-1] - spectrum[0])
    low, high = float(spectrum[0]) - width / 2, float(spectrum[-1]) + width / 2
    grid = torch.linspace(low, high, POINTS, dtype=torch.float64)
    right = torch.searchsorted(spectrum, grid, right=True).double() / len(spectrum)
    return float(torch.trapezoid((cumulative(grid) - right).abs(), grid)) / width


def ours(stage, budget, seed):
    found = spectral_density(
        Dense(small_hessian(stage)[0]), products=budget, probes=PROBES, seed=seed
    )
    return found.cdf


def of_grid(grid, density):
    """The cumulative distribution of a density on a grid, normalized."""
    below = torch.cumulative_trapezoid(density, grid)
    below = torch.cat([below.new_zeros(1), below / below[-1]])

    def cumulative(x):
        right = torch.searchsorted(grid, x).clamp(1, len(grid) - 1)
        share = ((x - grid[right - 1]) / (grid[right] - grid[right - 1])).clamp(0, 1)
        return torch.lerp(below[right - 1], below[right], share)

    return cumulative


def of_nodes(nodes, weights):
    """The cumulative distribution of nodes with weights, normalized."""
    nodes, order = nodes.sort()
    below = torch.cat([nodes.new_zeros(1), weights[order].cumsum(0)])
    return lambda x: below[torch.searchsorted(nodes, x, right=True)] / below[-1]


def curvlinops(stage, budget, seed):
    from curvlinops import HessianLinearOperator, lanczos_approximate_spectrum

    spectrum, problem = small_hessian(stage)[1], trained(stage)
    torch.manual_seed(seed)
    hessian = HessianLinearOperator(
        problem.model, problem.loss, problem.parameters, problem.data, check_deterministic=False
    )
    ends = float(spectrum[0]), float(spectrum[-1])
    found = lanczos_approximate_spectrum(hessian, budget // PROBES, POINTS, PROBES, boundaries=ends)
    return of_grid(*found)


def eigenthings(stage, budget, seed):
    from hessian_eigenthings import LambdaOperator
    from hessian_eigenthings import spectral_density as theirs

    dense = small_hessian(stage)[0]
    operator = LambdaOperator(lambda v: dense @ v, len(dense), dtype=dense.dtype)
    return theirs(operator, num_runs=PROBES, lanczos_steps=budget // PROBES, seed=seed)


def eigenthings_density(stage, budget, seed):
    found = eigenthings(stage, budget, seed)
    return of_grid(found.grid.double(), found.density.double())


def eigenthings_nodes(stage, budget, seed):
    """The quadrature that it smooths its density from, which it returns too."""
    found = eigenthings(stage, budget, seed)
    return of_nodes(found.raw_eigenvalues.flatten(), found.raw_weights.flatten())


def pyhessian(stage, budget, seed):
    from pyhessian import hessian

    torch.manual_seed(seed)
    problem = trained(stage).copied()
    solver = hessian(problem.model, problem.loss, data=problem.data[0], cuda=False)
    nodes, weights = solver.density(iter=budget // PROBES, n_v=PROBES)
    return of_nodes(torch.tensor(nodes).flatten(), torch.tensor(weights).flatten())


THEIRS = {
    "curvlinops": {"curvlinops": curvlinops},
    "hessian-eigenthings": {
        "hessian-eigenthings, density": eigenthings_density,
        "hessian-eigenthings, nodes": eigenthings_nodes,
    },
    "PyHessian": {"PyHessian": pyhessian},
}
