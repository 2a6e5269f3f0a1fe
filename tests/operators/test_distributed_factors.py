"""Factors of data spread over two processes: those of one process with all the data."""

import datetime

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from thalweg.operators import EigenvalueCorrected, Kronecker

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs gloo"
)


def network():
    torch.manual_seed(1)
    layers = nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3)
    return nn.Sequential(*layers).double()


def everything():
    source = torch.Generator().manual_seed(2)
    x = torch.randn(17, 4, generator=source, dtype=torch.float64)
    return x, torch.randint(0, 3, (17,), generator=source)


def share(rank):
    """11 samples and 6, in batches of unlike size."""
    x, y = everything()
    rows = torch.arange(17)[:11] if rank == 0 else torch.arange(17)[11:]
    return [(x[i], y[i]) for i in rows.split(4)]


def found(operator):
    return operator.to_dense(), operator.loss, operator.gradient


def copies(rank):
    model = DistributedDataParallel(network())
    return found(Kronecker.of_model(model, F.cross_entropy, share(rank)))


def corrected_copies(rank):
    model = DistributedDataParallel(network())
    return found(EigenvalueCorrected.of_model(model, F.cross_entropy, share(rank)))


def parts(rank):
    mesh, model = init_device_mesh("cpu", (2,)), network()
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return found(Kronecker.of_model(model, F.cross_entropy, share(rank)))


def one_fails(rank):
    def loss(output, targets):
        return F.cross_entropy(output, targets) if rank == 0 else output

    model = DistributedDataParallel(network())
    try:
        Kronecker.of_model(model, loss, share(rank), check=False)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


class Unlike(nn.Linear):
    def __init__(self, rank):
        super().__init__(4, 3)
        self.rank = rank

    def forward(self, x):
        return super().forward(x) if self.rank == 0 else x @ self.weight.T + self.bias


def unlike_uses(rank):
    try:
        Kronecker.of_model(
            Unlike(rank).double(), F.cross_entropy, share(rank), group=dist.group.WORLD
        )
    except ValueError as error:
        return str(error)
    return ""


WORK = (copies, corrected_copies, parts, one_fails, unlike_uses)


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    answers = {work.__name__: work(rank) for work in WORK}
    torch.save(answers, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(process, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("name", ["copies", "corrected_copies", "parts"])
def test_factors_are_those_of_one_process(both, name):
    of = EigenvalueCorrected if "corrected" in name else Kronecker
    expected = found(of.of_model(network(), F.cross_entropy, everything()))
    for answers in both:
        for actual, wanted in zip(answers[name], expected, strict=True):
            assert_close(actual, wanted, rtol=1e-11, atol=1e-14)


def test_a_failing_rank_stops_the_other(both):
    assert "TypeError: loss(output) returned shape" in both[1]["one_fails"]
    assert "rank 1: TypeError" in both[0]["one_fails"]


def test_ranks_that_use_parameters_in_unlike_ways_are_refused(both):
    assert all("different ways" in answers["unlike_uses"] for answers in both)
