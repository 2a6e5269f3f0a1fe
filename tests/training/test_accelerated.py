"""`fit` on two processes through Hugging Face's accelerate: what one process would find.

Both processes are started once and leave what they found in files.
"""

import datetime
import os
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from thalweg.optim import SGD, Adam, PolyakAverage
from thalweg.training import ClipNorm, fit
from thalweg.training.losses import zero_one_loss

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs gloo"
)


def data():
    """21 samples: with batches of 5 the last has one, which only one of two processes gets."""
    source = torch.Generator().manual_seed(2)
    x = torch.randn(21, 4, generator=source, dtype=torch.float64)
    return x, (x[:, 0] > 0).long()


def trained(accelerator=None, checkpoint=None, **options):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9)
    given = {"batch_size": 5, "seed": 3, "patience": 2, "metric": zero_one_loss} | options
    fitted = fit(
        model,
        F.cross_entropy,
        given.pop("train", data()),
        data(),
        optimizer,
        epochs=4,
        clip=ClipNorm(0.5),
        penalty=lambda model: 0.01 * sum((p**2).sum() for p in model.parameters()),
        average=PolyakAverage(optimizer, start=2),
        accelerator=accelerator,
        checkpoint=checkpoint,
        **given,
    )
    return model.state_dict(), fitted.state_dict()


CASES = {
    "minibatches": {},
    "one batch": {"batch_size": "all"},
    "accumulated": {"batch_size": 3, "accumulate": 2},
}


def loader_of(world):
    """A loader whose batches, one for each process, are together those of one with world 1."""
    loader = DataLoader(TensorDataset(*(x[:20] for x in data())), batch_size=4 // world)
    return {"train": loader, "batch_size": None}


def joined(rank, folder):
    """This process as one of two."""
    warnings.simplefilter("ignore")  # accelerate's own
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    limit = datetime.timedelta(seconds=120)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=limit)


def both(rank, folder):
    joined(rank, folder)
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    found = {name: trained(accelerator, **options) for name, options in CASES.items()}
    found["loader"] = trained(accelerator, **loader_of(2))
    found["saved"] = trained(accelerator, folder / "run")
    accelerator.wait_for_everyone()
    found["continued"] = trained(accelerator, folder / "run", seed=3)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def in_shards(rank, folder):
    """The parameters are spread over both processes, by PyTorch's own FSDP."""
    joined(rank, folder)
    dataset = TensorDataset(*(x[:20] for x in data()))
    sampler = DistributedSampler(dataset, 2, rank, shuffle=False)
    loader = DataLoader(dataset, batch_size=5, sampler=sampler)
    with pytest.raises(ValueError, match=r"or torch\.distributed\.checkpoint"):
        learned(loader, init_device_mesh("cpu", (2,)), checkpoint=folder / "run")
    model, fitted = learned(loader, init_device_mesh("cpu", (2,)))
    weight = model[0].weight
    held = tuple(weight.to_local().shape)
    torch.save([held, weight.full_tensor().detach(), fitted.state_dict()], folder / f"{rank}.pt")
    dist.destroy_process_group()


def learned(loader, mesh=None, **options):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    if mesh is not None:
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
    optimizer = Adam(model.parameters(), lr=0.1)
    common = {"epochs": 3, "seed": 3, "metric": zero_one_loss} | options
    return model, fit(model, F.cross_entropy, loader, data(), optimizer, **common)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(both, (folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("case", [*CASES, "loader"])
def test_two_processes_find_what_one_finds(found, case, rank):
    options = loader_of(1) if case == "loader" else CASES[case]
    state, history = trained(**options)
    its_state, its_history = found[rank][case]
    its_state = {name.removeprefix("module."): x for name, x in its_state.items()}
    assert_close(its_state, state, rtol=1e-10, atol=1e-12)
    assert_close(its_history["losses"], history["losses"], rtol=1e-10, atol=1e-12)
    assert its_history["sizes"] == history["sizes"]
    assert its_history["best_epoch"] == history["best_epoch"]
    for ours, theirs in zip(history["epochs"], its_history["epochs"], strict=True):
        assert theirs.keys() == ours.keys()
        numbers = {name: value for name, value in ours.items() if value is not None}
        assert {k: theirs[k] for k in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_on_two_processes_is_saved_and_continued(found, rank):
    saved, continued = found[rank]["saved"], found[rank]["continued"]
    assert_close(saved[0], found[rank]["minibatches"][0], rtol=0, atol=0)
    assert_close(continued[0], saved[0], rtol=0, atol=0)
    assert continued[1]["resumed_at"] == len(saved[1]["losses"])


def test_parameters_in_shards_learn_what_whole_ones_learn(tmp_path):
    mp.spawn(in_shards, (tmp_path,), nprocs=2)
    whole = DataLoader(TensorDataset(*(x[:20] for x in data())), batch_size=10)
    model, fitted = learned(whole)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for held, weight, history in found:
        assert held == (3, 4)
        assert_close(weight, model[0].weight.detach(), rtol=1e-10, atol=1e-12)
        values = [one.validation_metric for one in fitted.epochs]
        assert [one["validation_metric"] for one in history["epochs"]] == pytest.approx(values)
    shares = [torch.tensor(history["losses"]) for _, _, history in found]
    assert_close((shares[0] + shares[1]) / 2, torch.tensor(fitted.losses))


def test_what_is_no_accelerator_is_refused():
    with pytest.raises(TypeError, match=r"give an accelerate.Accelerator\(\)"):
        trained(accelerator="cuda")
