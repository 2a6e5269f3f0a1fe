"""The largest and the smallest eigenvalues of a real net's Hessian, in products.

A library is asked with several tolerances and gets the fewest products at which every eigenvalue
was in truth within the tolerance, which only the dense spectrum can tell. For ours the products at
which it stopped by itself are given too.
"""

import math
import statistics

import torch
from section import Aim, Section

from curving.networks import trained
from curving.peers import OURS, absent, has_scipy, present
from curving.reference import small_hessian
from thalweg.curvature import Matrix
from thalweg.linalg import lanczos

STAGE, TOLERANCE, SEEDS = 60, 1e-4, 5
MOST = 400  # products
TRIED = [10.0**-e for e in range(1, 10)]
WORDS = f"""A perceptron of 1,614 parameters after {STAGE} steps of Adam, float64; eigenvalues
within {TOLERANCE:.0e} of themselves, all of them. Medians over {SEEDS} random starts. "Fewest"
is the smallest number of products that gave the answer, whatever tolerance was asked for;
"stopped" is where the run ended by itself when asked for that tolerance, and "error" what was
wrong then. "Likely" and "proved" are the two kinds of error that `lanczos` can be told to go by."""

HEAD = ["", "top 10: fewest", "stopped", "error", "smallest: fewest", "stopped", "error"]


def measure(scale):
    dense, spectrum = small_hessian(STAGE)
    counts, section = {}, Section("Eigenvalues, in products", WORDS, HEAD)
    seeds = range(1 if scale.quick else SEEDS)
    for name, solver in solvers(scale.peers).items():
        runs = [[solved(solver, end, dense, spectrum, seed) for seed in seeds] for end in ENDS]
        counts[name] = [statistics.median(fewest for fewest, *_ in of_end) for of_end in runs]
        section.rows.append([name, *(cell for of_end in runs for cell in cells(of_end))])
    section.rows += [theirs(name, spectrum) for name in present(scale.peers) if name in OWN]
    section.notes += absent(scale.peers)
    for i, (end, most) in enumerate((("top 10", 45), ("smallest", 70))):
        words = f"{end} to {TOLERANCE:.0e} in at most {most} products (fewest)"
        section.aims.append(Aim(words, counts[f"{OURS}, likely"][i], most))
    return section


def cells(runs):
    fewest, stopped, error = (statistics.median(values) for values in zip(*runs, strict=True))
    return [
        "–" if math.isinf(fewest) else f"{fewest:.0f}",
        "–" if math.isinf(stopped) else f"{stopped:.0f}",
        f"{error:.0e}" if math.isfinite(error) else "–",
    ]


ENDS = ((10, "largest"), (1, "smallest"))


def wanted(spectrum, k, end):
    return spectrum.flip(0)[:k] if end == "largest" else spectrum[:k]


def error_of(found, right):
    """The largest relative error; infinite where some are missing."""
    if len(found) < len(right):
        return math.inf
    return float(((torch.as_tensor(found, dtype=right.dtype) - right) / right).abs().max())


def solved(solver, end, dense, spectrum, seed):
    """Fewest products, products where it stopped by itself, and the error there."""
    right = wanted(spectrum, *end)
    runs = {tol: solver(dense, *end, tol, seed) for tol in TRIED}
    good = [products for found, products in runs.values() if error_of(found, right) <= TOLERANCE]
    found, stopped = runs[min(TRIED, key=lambda tol: abs(math.log(tol / TOLERANCE)))]
    return min(good, default=math.inf), stopped, error_of(found, right)


def by_thalweg(accept):
    def solver(dense, k, end, tol, seed):
        found = lanczos(
            Matrix(dense),
            k=k,
            ends=end,
            tol=tol,
            relative_to="each",
            accept=accept,
            max_products=MOST,
            seed=seed,
        )
        pairs = found.top if end == "largest" else found.bottom
        return [pair.value for pair in pairs], found.products

    return solver


class Counted:
    """A dense matrix as scipy takes it, that counts what it is multiplied with."""

    def __init__(self, dense):
        self.dense, self.products = dense.numpy(), 0

    def linear_operator(self):
        from scipy.sparse.linalg import LinearOperator

        shape, dtype = self.dense.shape, self.dense.dtype
        return LinearOperator(shape, matvec=self.times, matmat=self.times, dtype=dtype)

    def times(self, vectors):
        self.products += 1 if vectors.ndim == 1 else vectors.shape[1]
        return self.dense @ vectors


def by_arpack(dense, k, end, tol, seed):
    from scipy.sparse.linalg import eigsh

    counted = Counted(dense)
    start = torch.randn(len(dense), generator=torch.Generator().manual_seed(seed)).numpy()
    which = "LA" if end == "largest" else "SA"
    found = eigsh(counted.linear_operator(), k=k, which=which, tol=tol, v0=start)[0]
    return sorted(found, reverse=end == "largest"), counted.products


def by_lobpcg(dense, k, end, tol, seed):
    import warnings

    from scipy.sparse.linalg import lobpcg

    counted = Counted(dense)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(dense), k, dtype=dense.dtype, generator=generator).numpy()
    largest = end == "largest"
    absolute = tol * float(torch.linalg.vector_norm(dense, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not reach the tolerance shows in the result
        found, _ = lobpcg(
            counted.linear_operator(), start, tol=absolute, maxiter=400, largest=largest
        )
    return sorted(found, reverse=largest), counted.products


def solvers(names):
    ours = {f"{OURS}, {kind}": by_thalweg(kind) for kind in ("likely", "proved")}
    if not has_scipy(names):
        return ours
    return {**ours, "ARPACK (scipy)": by_arpack, "LOBPCG (scipy)": by_lobpcg}


def by_eigenthings(k, end):
    """With its own settings; its answer and its products."""
    from hessian_eigenthings import LambdaOperator
    from hessian_eigenthings import lanczos as theirs

    dense, taken = small_hessian(STAGE)[0], []

    def product(v):
        taken.append(1)
        return dense @ v

    operator = LambdaOperator(product, len(dense), dtype=dense.dtype)
    which = "LA" if end == "largest" else "SA"
    found = theirs(operator, k=k, max_iter=150, which=which, tol=TOLERANCE, seed=0)
    return found.eigenvalues.sort(descending=end == "largest").values, len(taken)


def by_pyhessian(k, end):
    """Power iteration, which can find the largest by absolute value only."""
    from unittest import mock

    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    if end == "smallest":
        return [], 0
    problem, taken = trained(STAGE).copied(), []
    solver = hessian(problem.model, problem.loss, data=problem.data[0], cuda=False)

    def counted(*arguments):
        taken.append(1)
        return hessian_vector_product(*arguments)

    with mock.patch.dict(solver.eigenvalues.__globals__, hessian_vector_product=counted):
        found, _ = solver.eigenvalues(maxIter=1000, tol=TOLERANCE, top_n=k)
    return torch.tensor(found).sort(descending=True).values, len(taken)


OWN = {"hessian-eigenthings": by_eigenthings, "PyHessian": by_pyhessian}


def theirs(name, spectrum):
    """A library's own solver, asked once for the tolerance."""
    row = [f"{name}, as it is"]
    for end in ENDS:
        found, products = OWN[name](*end)
        error = error_of(found, wanted(spectrum, *end))
        row += ["–", *((str(products), f"{error:.0e}") if products else ("–", "–"))]
    return row
