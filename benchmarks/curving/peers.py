"""Other libraries' products, each behind one call; who is not installed takes no part.

A library gets the model as its own documentation has it, on a copy of its own. A flat vector is in
the order of `model.parameters()` without the frozen ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util

import torch

from thalweg.curvature import GaussNewton, Hessian

OURS = "thalweg"


@dataclass(frozen=True)
class Peer:
    name: str
    package: str  # on PyPI
    module: str
    hessian: Callable  # from a Problem to a function from v to H v
    gauss_newton: Callable | None = None

    @property
    def installed(self):
        return util.find_spec(self.module) is not None

    @property
    def title(self):
        return f"{self.name} {metadata.version(self.package)}" if self.installed else self.name


def ours(problem):
    operator = Hessian.of_model(problem.model, problem.loss, problem.data)
    return lambda v: operator @ v


def our_fastest(problem):
    """By the way of taking products that is measured to be the fastest."""
    operator = Hessian.of_model(problem.model, problem.loss, problem.data, way="auto")
    return lambda v: operator @ v


def our_gauss_newton(problem):
    operator = GaussNewton.of_model(problem.model, problem.loss, problem.data)
    return lambda v: operator @ v


def curvlinops(problem, kind="HessianLinearOperator"):
    import curvlinops

    make = getattr(curvlinops, kind)
    operator = make(problem.model, problem.loss, problem.parameters, problem.data)
    return lambda v: operator @ v


def curvlinops_gauss_newton(problem):
    return curvlinops(problem, "GGNLinearOperator")


def eigenthings(problem):
    from hessian_eigenthings import HessianOperator, supervised_loss

    operator = HessianOperator(problem.model, problem.data, supervised_loss(problem.loss))
    return operator.matvec


def eigenthings_gauss_newton(problem):
    from hessian_eigenthings import GGNOperator, supervised_forward, supervised_loss_of_output

    of_output = supervised_loss_of_output(problem.loss)
    return GGNOperator(problem.model, problem.data, supervised_forward, of_output).matvec


def pyhessian(problem):
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    if len(problem.data) > 1:
        all_of_it = hessian(problem.model, problem.loss, dataloader=problem.data, cuda=False)
        return lambda v: flat(all_of_it.dataloader_hv_product(parts(problem, v))[1])
    one = hessian(problem.model, problem.loss, data=problem.data[0], cuda=False)
    return lambda v: flat(hessian_vector_product(one.gradsH, one.params, parts(problem, v)))


def backpack(problem):
    from backpack.hessianfree.hvp import hessian_vector_product

    if len(problem.data) > 1:
        raise NotImplementedError("one batch only")
    ((inputs, targets),) = problem.data

    def product(v):
        value = problem.loss(problem.model(inputs), targets)
        return flat(hessian_vector_product(value, problem.parameters, parts(problem, v)))

    return product


def parts(problem, vector):
    """A flat vector as tensors of the parameters' shapes."""
    params = problem.parameters
    cut = vector.split([p.numel() for p in params])
    return [part.view_as(p) for part, p in zip(cut, params, strict=True)]


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "curvlinops",
            "curvlinops-for-pytorch",
            "curvlinops",
            curvlinops,
            curvlinops_gauss_newton,
        ),
        Peer(
            "hessian-eigenthings",
            "hessian-eigenthings",
            "hessian_eigenthings",
            eigenthings,
            eigenthings_gauss_newton,
        ),
        Peer("PyHessian", "PyHessian", "pyhessian", pyhessian),
        Peer("BackPACK", "backpack-for-pytorch", "backpack", backpack),
    )
}
NAMES = (*PEERS, "scipy")


def hessians(names):
    """Makers of Hessian products by library, ours first."""
    return {OURS: ours, **{name: PEERS[name].hessian for name in present(names)}}


def gauss_newtons(names):
    """Makers of Gauss-Newton products by library, ours first."""
    theirs = {name: PEERS[name].gauss_newton for name in present(names)}
    return {OURS: our_gauss_newton, **{name: make for name, make in theirs.items() if make}}


def present(names):
    return [name for name in names if name in PEERS and PEERS[name].installed]


def absent(names):
    """A note for each library that was asked for and is not there."""
    missing = [name for name in names if name in PEERS and not PEERS[name].installed]
    return [f"{name}: not installed" for name in missing]


def has_scipy(names):
    return "scipy" in names and util.find_spec("scipy") is not None


def in_a_line(error):
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0][:100] if words else ''}"
