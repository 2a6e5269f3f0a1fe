"""Two processes on one machine: copies of a model (DDP) and parts of it (FSDP2).

Both processes are started once, work through everything below, and leave what they found in files;
the tests compare it with one process that holds everything.
"""

import datetime
import math

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from thalweg.optim import (
    OPTIMIZERS,
    RULES,
    SGD,
    Adam,
    clip_by_global_norm,
    optimizer_class,
    over_all,
    rule,
    slot,
)

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs gloo"
)

# Parts of unlike size, and parts of size zero in the second process.
SHAPES = [(5, 3), (1,), (7,), (1, 4), (4, 4)]
EXACT = {"rtol": 0, "atol": 0}


def travelled(p, start):
    """How far all parameters together have come."""
    return sum(torch.sum((x - y) ** 2) for x, y in zip(p, start, strict=True)).sqrt()


@rule("pointwise")
def wandering(p, g, start=slot("start", torch.clone), *, far=over_all(travelled), lr=0.1):
    """A step that grows with the distance that all parameters have travelled."""
    return p - lr * (1 + far) * g, start


@rule()
def rowwise(p, g, rows=slot("rows", lambda p: p.new_zeros(p.shape[0])), *, lr=0.1):
    """State of a shape of its own, of a rule that wants whole tensors."""
    rows = rows + g.abs().reshape(p.shape[0], -1).sum(1)
    return p - lr * g / (1 + rows).reshape(-1, *[1] * (p.dim() - 1)), rows


CLIPPED = optimizer_class("Clipped", clip_by_global_norm(RULES["adam"]), max_norm=0.5)
WANDERING = optimizer_class("Wandering", wandering)
ROWWISE = optimizer_class("Rowwise", rowwise)
MADE = {**OPTIMIZERS, "clipped": CLIPPED, "wandering": WANDERING, "rowwise": ROWWISE}


MATRICES_ONLY = {"Muon"}


def numbers(make, seed, dtype=torch.float64):
    """A tensor of every shape that the optimizer takes."""
    source = torch.Generator().manual_seed(seed)
    shapes = [s for s in SHAPES if len(s) == 2 or make.__name__ not in MATRICES_ONLY]
    return [torch.randn(s, generator=source, dtype=torch.float64).to(dtype) for s in shapes]


def walk(make, place, dtype=torch.float64, steps=4, **options):
    """Steps along fixed gradients; parameters and gradients are put where they belong."""
    params = [nn.Parameter(place(x)) for x in numbers(make, 0, dtype)]
    optimizer = make(params, **options)
    for step in range(steps):
        for p, g in zip(params, numbers(make, step + 1, dtype), strict=True):
            p.grad = place(g)
        optimizer.step()
    return params, optimizer


def whole(x):
    return x.full_tensor().detach().clone() if hasattr(x, "full_tensor") else x


def everything(params, optimizer):
    state = [{k: whole(x) for k, x in optimizer.state.get(p, {}).items()} for p in params]
    return [whole(p.detach()) for p in params], state


def parts(mesh):
    return lambda x: distribute_tensor(x, mesh, [Shard(0)])


def every_optimizer_on_parts(mesh):
    return {name: everything(*walk(make, parts(mesh))) for name, make in MADE.items()}


def options_on_parts(mesh):
    half = {"dtype": torch.bfloat16, "rounding": "kahan"}
    return {"kahan": everything(*walk(Adam, parts(mesh), **half))}


def kinds_of_state(mesh):
    found = {}
    for name in ("adam", "rowwise"):
        params, optimizer = walk(MADE[name], parts(mesh))
        found[name] = {k: type(x).__name__ for k, x in optimizer.state[params[0]].items()}
    return found


def added_late(place):
    """A group that is put in its place when the optimizer has stepped on a plain parameter."""
    at = (0, -1)
    first, second = (numbers(ROWWISE, 0)[i] for i in at)
    params = [nn.Parameter(first), nn.Parameter(place(second))]
    optimizer = ROWWISE(params[:1])
    for step in range(4):
        if step == 2:
            optimizer.add_param_group({"params": params[1:]})
        g, h = (numbers(ROWWISE, step + 1)[i] for i in at)
        params[0].grad, params[1].grad = g, place(h)
        optimizer.step()
    kinds = {k: type(x).__name__ for k, x in optimizer.state[params[1]].items()}
    return everything(params, optimizer), kinds


def skipped_by_all(mesh):
    """A NaN that only one process sees."""
    params, optimizer = walk(Adam, parts(mesh), nonfinite="skip")
    before = everything(params, optimizer)
    for p in params:
        p.grad = p.grad.detach().clone()
    part = params[0].grad.to_local()
    if dist.get_rank() == 1:
        part[0] = math.nan
    optimizer.step()
    return before, everything(params, optimizer), optimizer.skipped_steps


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def batch(step, rows=slice(None)):
    source = torch.Generator().manual_seed(step)
    x = torch.randn(8, 3, generator=source, dtype=torch.float64)
    return x[rows], x.sum(1, keepdim=True)[rows]


def train(net, optimizer, steps, start=0, rows=slice(None)):
    for step in range(start, start + steps):
        x, y = batch(step, rows)
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return [whole(p.detach()) for p in net.parameters()]


TRAINED = {
    "sgd": lambda ps: SGD(ps, lr=0.1, momentum=0.9),
    "adam": lambda ps: Adam(ps, lr=0.1, weight_decay=0.1),
    "clipped": lambda ps: CLIPPED(ps, lr=0.1),
    "rowwise": lambda ps: ROWWISE(ps, lr=0.1),
}


def half_the_batch():
    return slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4)


def copies(mesh):
    found = {}
    for name, make in TRAINED.items():
        net = DistributedDataParallel(model())
        found[name] = train(net, make(net.parameters()), 4, rows=half_the_batch())
    return found


def fully_sharded(mesh):
    found = {}
    for name, make in TRAINED.items():
        net = model()
        for layer in net:
            fully_shard(layer, mesh=mesh)
        fully_shard(net, mesh=mesh)
        found[name] = train(net, make(net.parameters()), 4, rows=half_the_batch())
    return found


def checkpointed(mesh, folder):
    """Two steps, a checkpoint on disk, another model and optimizer, two more steps."""
    found = {}
    for name, make in TRAINED.items():
        ends, nets = [], []
        for _ in range(2):
            net = model()
            fully_shard(net, mesh=mesh)
            nets.append((net, make(net.parameters())))
        (first, one), (second, other) = nets
        train(first, one, 2)
        saved = {"model": first.state_dict(), "optimizer": get_optimizer_state_dict(first, one)}
        dcp.save(saved, checkpoint_id=f"{folder}/{name}")
        into = {"model": second.state_dict(), "optimizer": get_optimizer_state_dict(second, other)}
        dcp.load(into, checkpoint_id=f"{folder}/{name}")
        second.load_state_dict(into["model"])
        set_optimizer_state_dict(second, other, into["optimizer"])
        ends = [train(first, one, 2, 2), train(second, other, 2, 2)]
        found[name] = ends
    return found


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    mesh = init_device_mesh("cpu", (2,))
    with torch.random.fork_rng():
        found = {
            "parts": every_optimizer_on_parts(mesh),
            "options": options_on_parts(mesh),
            "kinds": kinds_of_state(mesh),
            "added late": added_late(parts(mesh)),
            "skipped": skipped_by_all(mesh),
            "copies": copies(mesh),
            "fully sharded": fully_sharded(mesh),
            "checkpointed": checkpointed(mesh, folder),
        }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def exact(name):
    """Whether parts must give the bits of the whole: not where sums are made of sums."""
    return not MADE[name].rule.summaries


@pytest.mark.parametrize("name", MADE)
def test_parts_give_what_the_whole_gives(name, found):
    params, state = everything(*walk(MADE[name], torch.clone))
    close = EXACT if exact(name) else {"rtol": 1e-12, "atol": 1e-13}
    if name == "prodigy":  # keeps its distance in float32
        close = {"rtol": 1e-5, "atol": 1e-6}
    for rank in range(2):
        assert_close(found[rank]["parts"][name][0], params, **close)
        assert_close(found[rank]["parts"][name][1], state, **close)


def test_kahans_remainder_is_parted_too(found):
    half = {"dtype": torch.bfloat16, "rounding": "kahan"}
    expected = everything(*walk(Adam, torch.clone, **half))
    assert_close(list(found[1]["options"]["kahan"]), list(expected), **EXACT)


def test_state_of_the_parameters_shape_is_sharded_and_other_state_is_not(found):
    sharded = {"step": "Tensor", "exp_avg": "DTensor", "exp_avg_sq": "DTensor"}
    assert found[0]["kinds"] == {"adam": sharded, "rowwise": {"rows": "Tensor"}}


def test_a_group_may_be_sharded_that_is_added_late(found):
    expected, kinds = added_late(torch.clone)
    for rank in range(2):
        ends, own_kinds = found[rank]["added late"]
        assert_close(list(ends), list(expected), **EXACT)
        assert own_kinds == kinds == {"rows": "Tensor"}


def test_all_processes_skip_a_step_that_one_sees_to_be_bad(found):
    for rank in range(2):
        before, after, count = found[rank]["skipped"]
        assert_close(list(after), list(before), **EXACT)
        assert count == 1


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("how", ["copies", "fully sharded"])
def test_two_processes_with_half_the_batch_each_are_one_with_all_of_it(name, how, found):
    net = model()
    expected = train(net, TRAINED[name](net.parameters()), 4)
    for rank in range(2):
        assert_close(found[rank][how][name], expected, rtol=1e-9, atol=1e-12)
    assert_close(found[0][how][name], found[1][how][name], **EXACT)


@pytest.mark.parametrize("name", TRAINED)
def test_a_checkpoint_continues_the_run(name, found):
    for rank in range(2):
        whole_run, resumed = found[rank]["checkpointed"][name]
        assert_close(resumed, whole_run, **EXACT)
