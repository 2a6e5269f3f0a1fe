"""Data spread over two processes: the operator is that of one process with all the data.

Both processes are started once and leave what they found in files.
"""

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

from thalweg.operators import EmpiricalFisher, Fisher, GradientCovariance, Hessian
from thalweg.operators.distributed import shared_facts

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs gloo"
)
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def network():
    torch.manual_seed(1)
    layers = nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)
    return nn.Sequential(*layers).double()


def everything():
    source = torch.Generator().manual_seed(2)
    x = torch.randn(23, 4, generator=source, dtype=torch.float64)
    return x, torch.randint(0, 3, (23,), generator=source)


def share(rank):
    """Shares of unlike size, in batches of unlike size: 13 samples and 10."""
    x, y = everything()
    rows = torch.arange(23)[:13] if rank == 0 else torch.arange(23)[13:]
    return [(x[i], y[i]) for i in rows.split(5)]


def quartic(params):
    return 0.1 * sum((p**4).sum() for p in params.values())


OVER_SAMPLES = [
    (kind, penalty)
    for kind in (Fisher, EmpiricalFisher, GradientCovariance)
    for penalty in (None, quartic)
]


def found(operator):
    vectors = torch.randn(operator.size, 2, generator=torch.Generator().manual_seed(3))
    by = 0.1 * vectors[:, 0].double()
    return {
        "dense": operator.to_dense(),
        "loss": operator.loss,
        "gradient": operator.gradient,
        "elsewhere": (operator.loss_at(by), operator.gradient_at(by)),
    }


def copies(rank):
    model = DistributedDataParallel(network())
    return found(Hessian.of_model(model, F.cross_entropy, share(rank), penalty=quartic))


def parts(rank):
    mesh, model = init_device_mesh("cpu", (2,)), network()
    for layer in (model[0], model[2], model[4]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    x, y = share(rank)[0]
    F.cross_entropy(model(x), y).backward()
    hessian = Hessian.of_model(model, F.cross_entropy, share(rank), memory=0)
    answer = found(hessian)
    # The model trains on as if nothing had been.
    before = [p.grad.full_tensor().clone() for p in model.parameters()]
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    after = [p.grad.full_tensor() for p in model.parameters()]
    return {**answer, "gradients agree": all(map(torch.equal, before, after))}


def subset_of_parts(rank):
    model = fully_shard(network(), mesh=init_device_mesh("cpu", (2,)))
    chosen = Hessian.of_model(model, F.cross_entropy, share(rank), params=["2.weight", "4.bias"])
    return found(chosen)


def group_by_hand(rank):
    sums = nn.CrossEntropyLoss(reduction="sum")
    return found(Hessian.of_model(network(), sums, share(rank), group=dist.group.WORLD))


def traced(operator):
    return operator.to_dense(), operator.exact_trace(), operator.gradient


def sums_over_samples(rank):
    model = DistributedDataParallel(network())
    return [
        traced(kind.of_model(model, F.cross_entropy, share(rank), penalty=penalty))
        for kind, penalty in OVER_SAMPLES
    ]


def vectors_that_differ(rank):
    hessian = Hessian.of_model(network(), F.cross_entropy, share(rank), group=dist.group.WORLD)
    return hessian @ torch.full((hessian.size,), 1.0 + rank, dtype=hessian.dtype)


def facts(rank):
    """What both ranks vouch for, and what one does."""
    one = frozenset({"psd"} if rank == 0 else ())
    return shared_facts(frozenset({"psd"}), dist.group.WORLD), shared_facts(one, dist.group.WORLD)


def message(work):
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def one_fails_when_made(rank):
    data = share(rank) if rank == 0 else []
    model = DistributedDataParallel(network())
    return message(lambda: Hessian.of_model(model, F.cross_entropy, data))


def one_fails_at_a_product(rank):
    data = share(rank)
    model = DistributedDataParallel(network())
    hessian = Hessian.of_model(model, F.cross_entropy, data, memory=0)
    if rank == 1:
        data[0] = (2 * data[0][0], data[0][1])
    return message(lambda: hessian @ torch.ones(hessian.size, dtype=hessian.dtype))


WORK = {
    work.__name__: work
    for work in (
        copies,
        parts,
        subset_of_parts,
        group_by_hand,
        sums_over_samples,
        vectors_that_differ,
        facts,
        one_fails_when_made,
        one_fails_at_a_product,
    )
}


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    answers = {name: work(rank) for name, work in WORK.items()}
    torch.save(answers, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(process, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def alone(**options):
    return found(Hessian.of_model(network(), F.cross_entropy, everything(), **options))


def assert_same(answer, expected):
    for name in ("dense", "loss", "gradient", "elsewhere"):
        assert_close(answer[name], expected[name], **CLOSE)


REFERENCES = {
    "copies": lambda: alone(penalty=quartic),
    "parts": alone,
    "subset_of_parts": lambda: alone(params=["2.weight", "4.bias"]),
    "group_by_hand": lambda: found(
        Hessian.of_model(network(), nn.CrossEntropyLoss(reduction="sum"), everything())
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("rank", [0, 1])
def test_equals_one_process_with_all_the_data(both, name, rank):
    assert_same(both[rank][name], REFERENCES[name]())


@pytest.mark.parametrize("name", REFERENCES)
def test_every_rank_has_the_same_numbers(both, name):
    for number in ("dense", "loss", "gradient", "elsewhere"):
        assert_close(both[0][name][number], both[1][name][number], rtol=0, atol=0)


@pytest.mark.parametrize("number", range(len(OVER_SAMPLES)))
@pytest.mark.parametrize("rank", [0, 1])
def test_sums_over_samples_are_those_of_all_ranks(both, number, rank):
    kind, penalty = OVER_SAMPLES[number]
    expected = traced(kind.of_model(network(), F.cross_entropy, everything(), penalty=penalty))
    dense, trace, gradient = both[rank]["sums_over_samples"][number]
    assert_close(dense, expected[0], **CLOSE)
    assert_close(gradient, expected[2], **CLOSE)
    assert trace == (expected[1] and pytest.approx(expected[1], rel=1e-12))


def test_a_sharded_model_trains_on_as_before(both):
    assert both[0]["parts"]["gradients agree"]
    assert both[1]["parts"]["gradients agree"]


def test_the_first_ranks_vector_counts(both):
    hessian = Hessian.of_model(network(), F.cross_entropy, everything())
    expected = hessian @ torch.ones(hessian.size, dtype=hessian.dtype)
    for rank in (0, 1):
        assert_close(both[rank]["vectors_that_differ"], expected, **CLOSE)


def test_a_fact_holds_where_every_rank_vouches_for_it(both):
    assert both[0]["facts"] == both[1]["facts"] == ({"psd"}, frozenset())


def test_what_fails_on_one_rank_stops_the_other(both):
    assert both[1]["one_fails_when_made"].startswith("ValueError: data holds no batch")
    assert both[0]["one_fails_when_made"] == (
        f"RuntimeError: rank 1: {both[1]['one_fails_when_made']}"
    )
    assert "batch 0 has the loss" in both[1]["one_fails_at_a_product"]
    assert both[0]["one_fails_at_a_product"] == (
        "RuntimeError: Hessian: another rank failed; its error says why."
    )
