"""A network that is pruned where its training is over, in this very process."""

import copy
import json
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.recorder import Session
from thalweg.survey.at_the_end import prune_at_the_end, watched
from thalweg.survey.last_batches import UPDATES, Inputs, LastLosses
from thalweg.survey.last_change import LastChange
from thalweg.survey.pruner import Pruner, fitting, together, weight_of

STEPS = 12


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(*widths):
    torch.manual_seed(0)
    pairs = pairwise(widths)
    return nn.Sequential(*(nn.Linear(a, b, dtype=torch.float64) for a, b in pairs))


def batches():
    source = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, 10, 4, generator=source, dtype=torch.float64)
    return list(zip(x, x[..., 0] > 0, strict=True))


def train(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y.long()).backward()
        optimizer.step()


def evaluate(net):
    """What a script reads of itself."""
    x, y = batches()[0]
    with torch.no_grad():
        return F.cross_entropy(net(x), y.long()).item()


def zeros(net):
    weights = [one.weight for one in net.modules() if isinstance(one, nn.Linear)]
    return sum(int((one == 0).sum()) for one in weights) / sum(one.numel() for one in weights)


AFTER = {
    "at once": (lambda net, kept: None, 1),
    "after an evaluation that changes nothing": (lambda net, kept: evaluate(net), 1),
    "after the best was loaded": (
        lambda net, kept: (evaluate(net), net.load_state_dict(kept)), 2,
    ),
    "after a copy was made": (lambda net, kept: evaluate(copy.deepcopy(net)), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER)
def test_the_call_is_the_first_after_the_last_change(name):
    between, later = AFTER[name]
    net, last = network(4, 3, 2), LastChange()
    kept = copy.deepcopy(net.state_dict())
    with watched(last.entered), Session([last]):
        train(net)
        assert last.at is None
        between(net, kept)
        evaluate(net)
        evaluate(net)
    assert last.at == STEPS + later


def pruner(net, sparsity=0.75, method="magnitude"):
    known = Inputs(net)
    for x, _ in batches():
        known.add((x,), {})
    return Pruner({id(net): known}, method, sparsity, "unstructured")


def test_a_network_is_pruned_again_when_its_parameters_are_loaded_and_only_then():
    net = network(4, 8, 2)
    kept, found = copy.deepcopy(net.state_dict()), pruner(net)
    found.look(net)
    assert zeros(net) == 0.75
    once = net[0].weight.detach().clone()
    found.look(net)
    assert torch.equal(net[0].weight, once)
    net.load_state_dict(kept)
    found.look(net)
    assert zeros(net) == 0.75


def test_copies_are_pruned_and_other_networks_are_not():
    net, other = network(4, 8, 2), network(4, 7, 2)
    again, found = copy.deepcopy(net), pruner(net)
    found.look(again)
    found.look(other)
    assert (zeros(net), zeros(again), zeros(other)) == (0, 0.75, 0)
    found.finish()
    assert zeros(net) == 0


def test_what_was_never_called_is_pruned_at_the_end():
    net = network(4, 8, 2)
    pruner(net, 0.5).finish()
    assert zeros(net) == 0.5


def test_the_programs_random_numbers_and_modes_stay():
    net = nn.Sequential(nn.Linear(4, 8).double(), nn.Dropout(0.5), nn.Linear(8, 2).double())
    torch.manual_seed(3)
    before = torch.get_rng_state()
    pruner(net, method="brain-surgeon").look(net)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(one.training for one in net.modules())


def test_the_method_follows_the_size():
    assert fitting(network(4, 8, 2)) == "brain-surgeon"
    assert fitting(network(40, 80, 2)) == "kronecker"
    assert fitting(nn.Linear(5000, 2)) == "sparse-gpt"


def test_inputs_are_copies_of_the_last_calls():
    known, x = Inputs(network(4, 2)), torch.zeros(200, 4)
    for number in range(5):
        x.fill_(number)
        known.add((x,), {"times": 2})
    values = [args[0][0, 0].item() for args, _ in known.batches]
    assert values == [2, 3, 4]  # 600 samples; two batches would be fewer than 512
    assert known.batches[-1][1] == {"times": 2}
    assert together(known) == list(known.batches)


def test_batches_of_one_tensor_are_joined():
    known = Inputs(network(4, 2))
    known.add((torch.zeros(3, 4),), {})
    known.add((torch.ones(2, 4),), {})
    ((args, kwargs),) = together(known)
    assert (args[0].shape, kwargs) == ((5, 4), {})
    recurrent = Inputs(nn.LSTM(4, 2))
    recurrent.batches.extend(known.batches)
    assert len(together(recurrent)) == 2  # the first axis is time


def test_the_loss_is_the_mean_over_the_last_batches_at_the_present_parameters():
    net, losses = network(4, 3, 2), LastLosses(STEPS)
    with Session([losses]):
        train(net)
        for parameter in net.parameters():
            parameter.data.mul_(0.5)
        found = losses.mean()
    with torch.no_grad():
        expected = [F.cross_entropy(net(x), y.long()).item() for x, y in batches()[-UPDATES:]]
    assert found == pytest.approx(math.fsum(expected) / UPDATES, rel=1e-12)


def pruned(folder, evaluations, call=STEPS + 1, updates=STEPS, method="magnitude"):
    """What is found of a program that trains and evaluates a network, and the network."""
    net = network(4, 8, 2)
    point = {"method": method, "sparsity": 0.5, "save": True}
    options = {
        "updates": updates, "call": call, "points": [point], "measure": MEASURE,
        "pattern": "unstructured", "fork": False, "until": math.inf,
    }  # fmt: skip
    with prune_at_the_end(folder, {"script": __file__}, **options):
        train(net)
        for one in evaluations:
            one(net)
    return json.loads((folder / "0" / "found.json").read_text()), net


LINE = evaluate.__code__.co_firstlineno + 4
MEASURE = ("test_at_the_end.py:" + str(LINE), "loss")


def test_what_counts_is_what_is_read_last_after_the_last_update(tmp_path):
    values = []
    moved = lambda net: net[0].bias.data.add_(1.0)
    found, net = pruned(tmp_path, [evaluate, moved, lambda net: values.append(evaluate(net))])
    assert found["value"] == pytest.approx(values[-1], rel=1e-12)
    assert (found["method"], found["sparsity"], found["updates"]) == ("magnitude", 0.5, STEPS)
    assert zeros(net) == 0.5
    saved = torch.load(tmp_path / "0" / "pruned.pt", weights_only=True)
    assert torch.equal(saved["0.weight"], net[0].weight)
    assert found["layers"] == [
        {"path": path, "weights": size, "zeros": int((weight_of(net, path) == 0).sum())}
        for path, size in (("0", 32), ("2" if len(net) > 2 else "1", 16))
    ]


def test_what_was_read_before_the_last_update_does_not_count(tmp_path):
    def early(net):
        evaluate(net)
        train(net)

    found, _ = pruned(tmp_path, [early], call=None, updates=2 * STEPS)
    assert found["value"] is None
    assert found["loss"] > 0


def test_a_failure_is_told(tmp_path):
    found, net = pruned(tmp_path, [evaluate], method="surgery")
    assert "choose one of" in found["failed"]
    assert zeros(net) == 0
