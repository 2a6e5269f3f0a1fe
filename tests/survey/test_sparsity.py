"""Networks that scripts train, pruned at the end: against the same pruning written out by hand."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune

from thalweg.survey import NothingToPrune, ScriptFailed, sparsity

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parent.parent / "cli" / "scripts"
BEGINNING = """
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x = torch.randn(120, 10)
y = (x[:, 0] * x[:, 1] > 0).long()
"""
TRAINING = """
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(3):
    for i in range(0, 120, 30):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(x[i : i + 30]), y[i : i + 30])
        loss.backward()
        optimizer.step()
"""
PLAIN = "net = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 2))\nlogits = net\n"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "train.py").write_text(BEGINNING + text)
        return "train.py"

    return write


def pruned_by_hand(model, share):
    """The smallest weights of all linear layers gone, by PyTorch."""
    layers = [(one, "weight") for one in model.modules() if isinstance(one, nn.Linear)]
    torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=share)
    for layer, name in layers:
        torch_prune.remove(layer, name)


def points(data, method):
    return [one for one in data["points"] if one["method"] == method]


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A script that goes back to its best parameters, its network's kept ones, and its folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("best")
    (folder / "train.py").write_text((SCRIPTS / "keeps_the_best.py").read_text())
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = sparsity("train.py", 0.6, save="sparse.pt", progress=told.append)
    return found, folder, told


def by_hand(folder, monkeypatch):
    """What the script leaves, run as it is in this process."""
    inside = folder / "by hand"
    inside.mkdir(exist_ok=True)
    monkeypatch.chdir(inside)
    torch.manual_seed(0)
    return runpy.run_path(str(folder / "train.py"))


def test_magnitude_is_what_pytorch_prunes(best, monkeypatch):
    left = by_hand(best[1], monkeypatch)
    trained = {name: value.clone() for name, value in left["model"].state_dict().items()}
    assert best[0].data["dense"]["value"] == pytest.approx(left["accuracy"](left["test"]), abs=1e-7)
    for point in points(best[0].data, "magnitude"):
        left["model"].load_state_dict(trained)
        pruned_by_hand(left["model"], point["sparsity"])
        assert point["value"] == pytest.approx(left["accuracy"](left["test"]), abs=1e-7)


def test_the_surgeon_keeps_more_than_magnitude(best):
    pairs = zip(
        points(best[0].data, "brain-surgeon"), points(best[0].data, "magnitude"), strict=True
    )
    assert all(one["value"] >= other["value"] for one, other in pairs)
    assert best[0].complete


def test_shares_and_counts(best):
    data = best[0].data
    assert [round(one["sparsity"], 2) for one in points(data, "magnitude")] == [
        0.5, 0.6, 0.7, 0.8, 0.9, 0.95,
    ]  # fmt: skip
    assert (data["kind"], data["schema"], data["asked"]) == ("pruning", 1, 0.6)
    assert data["script"]["steps"] == 120
    assert data["networks"] == [{"name": "model", "kind": "Sequential", "parameters": 910}]
    assert data["measure"]["kind"] == "accuracy"
    for point in data["points"]:
        zeros = sum(layer["zeros"] for layer in point["layers"])
        assert point["sparsity"] == pytest.approx(zeros / 888)


def test_what_is_saved_is_what_was_measured(best, monkeypatch):
    left = by_hand(best[1], monkeypatch)
    left["model"].load_state_dict(torch.load(best[1] / "sparse.pt", weights_only=True))
    point = points(best[0].data, "brain-surgeon")[1]
    assert left["accuracy"](left["test"]) == pytest.approx(point["value"], abs=1e-7)
    weights = [one.weight for one in left["model"] if isinstance(one, nn.Linear)]
    zeros = sum(int((one == 0).sum()) for one in weights)
    assert zeros / 888 == pytest.approx(0.6, abs=1e-3)


def test_nothing_else_is_left(best):
    assert {path.name for path in best[1].iterdir()} <= {"train.py", "sparse.pt", "by hand"}


def test_progress_is_told(best):
    assert best[2][0].says == "Training as it is"
    assert [one.done for one in best[2]] == sorted(one.done for one in best[2])
    assert best[2][-1].done <= best[2][-1].total == 13


def test_branches_are_runs_of_their_own(script):
    name = script(PLAIN + TRAINING + "print((net(x).argmax(1) == y).float().mean().item())")
    one, other = (sparsity(name, 0.5, pattern=(2, 1), fork=fork).data for fork in (True, False))
    assert one["points"] == other["points"]
    assert one["dense"] == other["dense"]
    assert one["pattern"] == "2x1 blocks"


def test_a_script_that_measures_nothing_is_measured_by_its_last_batches(script, monkeypatch):
    name = script(PLAIN + TRAINING)
    data = sparsity(name, 0.5).data
    left = runpy.run_path(name)
    net, x, y = left["net"], left["x"], left["y"]
    batches = [slice(30 * (at % 4), 30 * (at % 4) + 30) for at in range(4, 12)]

    def loss():
        with torch.no_grad():
            return sum(float(cross_entropy(net(x[at]), y[at])) for at in batches) / 8

    assert data["measure"] is None
    assert data["dense"]["loss"] == pytest.approx(loss(), rel=1e-6)
    point = points(data, "magnitude")[0]
    pruned_by_hand(net, point["sparsity"])
    assert point["loss"] == pytest.approx(loss(), rel=1e-6)
    assert point["value"] is None


NETWORKS = {
    "a copy": (
        PLAIN + TRAINING + "import copy\nkept = copy.deepcopy(net).eval()\nout = kept(x)",
        "net",
    ),
    "an average": (
        PLAIN
        + "from torch.optim.swa_utils import AveragedModel\naverage = AveragedModel(net)\n"
        + TRAINING
        + "average.update_parameters(net)\nwith torch.inference_mode():\n    out = average(x)",
        "net",
    ),
    "keywords and a dictionary": (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.inside = nn.Linear(10, 2)\n"
        "    def forward(self, *, given, times=1):\n"
        "        return {'logits': times * self.inside(given), 'count': len(given)}\n"
        "net = Net()\n"
        "def logits(x):\n    return net(given=x, times=2)['logits']\n"
        + TRAINING
        + "with torch.no_grad():\n    out = logits(x)",
        "net",
    ),
    "layers without a network": (
        "net = nn.ModuleList([nn.Linear(10, 8), nn.Linear(8, 2)])\n"
        "def logits(x):\n    return net[1](torch.tanh(net[0](x)))\n"
        + TRAINING
        + "with torch.no_grad():\n    out = logits(x)",
        "",
    ),
    "updates by hand": (
        PLAIN + "for _ in range(20):\n"
        "    for p, g in zip(net.parameters(), torch.autograd.grad(\n"
        "            F.cross_entropy(net(x), y), list(net.parameters()))):\n"
        "        p.data -= 0.1 * g\n"
        "with torch.no_grad():\n    out = net(x)",
        "net",
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_whatever_is_evaluated_is_pruned(kind, script):
    text, name = NETWORKS[kind]
    measured = "\nprint('loss', F.cross_entropy(out, y).item())"
    data = sparsity(script(text + measured), 0.98, pattern="unstructured").data
    assert data["networks"][0]["name"] == name
    assert all(one["value"] is not None for one in data["points"])
    last = points(data, "magnitude")[-1]
    assert sum(layer["zeros"] for layer in last["layers"]) / sum(
        layer["weights"] for layer in last["layers"]
    ) == pytest.approx(0.98, abs=0.06)
    assert last["value"] != data["dense"]["value"]


def test_a_pattern_has_its_own_sparsity_and_names_what_it_leaves_out(script):
    text = "net = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 2))\nlogits = net\n"
    data = sparsity(script(text + TRAINING), pattern="2:4", save="out.pt").data
    assert data["asked"] == 0.5
    assert [one["left_out"] for one in data["points"]] == [["0"], ["0"]]
    kept = torch.load("out.pt", weights_only=True)["2.weight"]
    assert (kept.reshape(-1, 4) != 0).sum(1).max() == 2


FAULTS = {
    "no update": ("", {}, NothingToPrune, "makes no update"),
    "bare tensors": (
        "w = torch.zeros(10, 2, requires_grad=True)\noptimizer = torch.optim.SGD([w], 0.1)\n"
        "F.cross_entropy(x @ w, y).backward()\noptimizer.step()",
        {},
        NothingToPrune,
        "no torch.nn.Module that has linear layers",
    ),
    "fails": ("raise RuntimeError('no')", {}, ScriptFailed, "exit code 1"),
    "too slow": (
        PLAIN + TRAINING + "import time; time.sleep(60)",
        {"budget": 4.0},
        NothingToPrune,
        "within the budget of 4 s",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_scripts_without_anything_to_prune(fault, script):
    text, options, error, message = FAULTS[fault]
    with pytest.raises(error, match=message):
        sparsity(script(text), 0.5, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "between 0 and 1"),
        ({"method": "surgeon"}, "choose one of magnitude"),
        ({"save": "x.pt"}, "which sparsity is to be kept"),
        ({"share": 0.8, "pattern": "2:4"}, "2:4 is a sparsity of 0.5"),
        ({"pattern": "4:2"}, "n below m"),
        ({"budget": 0}, "positive number of seconds"),
        ({"seed": -1}, "0 or more"),
        ({"script": "gone.py"}, "no such file"),
    ],
)
def test_arguments_that_cannot_be(options, message, script):
    name = script("raise RuntimeError('not to be run')")
    with pytest.raises(ValueError, match=message):
        sparsity(**({"script": name} | options))
