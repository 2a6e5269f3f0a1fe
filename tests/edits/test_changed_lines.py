"""Which lines change, and how: style, comments and everything beside them stay as they were."""

import subprocess

import pytest
from scripts_as_text import CLOSURE, FUNCTIONS, GROUPS, HEAD, LOADER, OPTIONS, PLAIN, lines

from thalweg.edits import diff, edited
from thalweg.interventions import (
    BatchSize,
    ClearStaleGradients,
    Clipping,
    EarlyStopping,
    Initialization,
    LearningRate,
    LongerTraining,
    LossWiring,
    Mode,
    OptimizerSwap,
    OtherSign,
    Regularization,
    Shuffling,
    TargetStandardization,
    TrainedParameters,
    from_data,
)

TRAINING = """
import torch
from torch import nn

net = nn.Linear(2, 1)
x, y = torch.ones(8, 2), torch.ones(8, 1)
"""
LOOP = """
for step in range(9):
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
"""
SGD = "optimizer = torch.optim.SGD(net.parameters(), lr={})" + LOOP
IN_A_FUNCTION = """
def fit(optimizer, epochs=4):
    for epoch in range(epochs):
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()

fit(torch.optim.SGD(net.parameters(), lr=0.5))
"""
LOADED = """
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(x, y), {})
test = DataLoader(TensorDataset(x, y), batch_size=4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
for epoch in range(2):
    for xs, ys in loader:
        nn.functional.mse_loss(net(xs), ys).backward()
        optimizer.step()
for xs, ys in test:
    print(net(xs))
"""
BY_ROWS = """
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
for epoch in range(2):
    for i in range(0, len(x), 4):
        loss = nn.functional.mse_loss(net(x[i:i + 4]), y[i:i + 4])
        loss.backward()
        optimizer.step()
"""
SCALER = """
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
scaler = torch.amp.GradScaler("cuda")
for step in range(9):
    scaler.scale(nn.functional.mse_loss(net(x), y)).backward()
    scaler.step(optimizer)
    scaler.update()
"""

# name: (change, script behind the common beginning, lines taken away, lines put in)
LINES = {
    "as it is written": (
        LearningRate(0.1), SGD.format("5e-3"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=5e-3)"],
        ["optimizer = torch.optim.SGD(net.parameters(), lr=5e-4)"],
    ),
    "with its comment and its spaces": (
        LearningRate(0.1),
        "optimizer = torch.optim.SGD( net.parameters(),lr = 4. ) # größer?" + LOOP,
        ["optimizer = torch.optim.SGD( net.parameters(),lr = 4. ) # größer?"],
        ["optimizer = torch.optim.SGD( net.parameters(),lr = 0.4 ) # größer?"],
    ),
    "behind letters of two bytes": (
        LearningRate(10.0),
        'name = "größe"; optimizer = torch.optim.SGD(net.parameters(), lr=1)' + LOOP,
        ['name = "größe"; optimizer = torch.optim.SGD(net.parameters(), lr=1)'],
        ['name = "größe"; optimizer = torch.optim.SGD(net.parameters(), lr=10.0)'],
    ),
    "under its name": (
        LearningRate(0.1), "RATE = 0.5\n" + SGD.format("RATE") + "print(RATE)\n",
        ["RATE = 0.5"], ["RATE = 0.05"],
    ),
    "where the name means more": (
        LearningRate(0.1), "rate = 0.5\nkeep = rate * 2\n" + SGD.format("rate"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=rate)"],
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * rate)"],
    ),
    "where it is computed": (
        LearningRate(0.1), SGD.format("1 / (2 + len(x))"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=1 / (2 + len(x)))"],
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * (1 / (2 + len(x))))"],
    ),
    "by position": (
        LearningRate(0.1), "optimizer = torch.optim.SGD(net.parameters(), 0.5)" + LOOP,
        ["optimizer = torch.optim.SGD(net.parameters(), 0.5)"],
        ["optimizer = torch.optim.SGD(net.parameters(), 0.05)"],
    ),
    "under another name": (
        LearningRate(0.1),
        "from torch.optim import SGD as Descent\noptimizer = Descent(net.parameters(), 0.5)" + LOOP,
        ["optimizer = Descent(net.parameters(), 0.5)"],
        ["optimizer = Descent(net.parameters(), 0.05)"],
    ),
    "in each group": (
        LearningRate(0.1), GROUPS,
        ['        {"params": model[2].parameters(), "lr": 0.02},', "    lr=0.1,"],
        ['        {"params": model[2].parameters(), "lr": 0.002},', "    lr=0.01,"],
    ),
    "another optimizer": (
        OptimizerSwap("adam", 1e-3), SGD.format("5e-2, momentum=0.9"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=5e-2, momentum=0.9)"],
        ["optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)"],
    ),
    "clipping": (
        Clipping(0.5), SGD.format(0.5), [],
        ["    nn.utils.clip_grad_norm_(net.parameters(), 0.5)"],
    ),
    "clipping elsewhere": (
        Clipping(), IN_A_FUNCTION, [],
        ["        nn.utils.clip_grad_norm_(net.parameters(), 1.0)"],
    ),
    "clipping of groups": (
        Clipping(), GROUPS.replace("model", "net"), [],
        ["    nn.utils.clip_grad_norm_("
         '[p for group in optimizer.param_groups for p in group["params"]], 1.0)'],
    ),
    "clipping under a scaler": (
        Clipping(), SCALER, [],
        ["    scaler.unscale_(optimizer)", "    nn.utils.clip_grad_norm_(net.parameters(), 1.0)"],
    ),
    "on one line": (
        Clipping(), "optimizer = torch.optim.SGD(net.parameters(), 0.5)\n"
        "for i in range(3): net(x).sum().backward(); optimizer.step()\n",
        ["for i in range(3): net(x).sum().backward(); optimizer.step()"],
        ["for i in range(3): net(x).sum().backward(); "
         "nn.utils.clip_grad_norm_(net.parameters(), 1.0); optimizer.step()"],
    ),
    "gradients cleared": (
        ClearStaleGradients(), SGD.format(0.5), [], ["    optimizer.zero_grad()"],
    ),
    "gradients cleared in a closure": (
        ClearStaleGradients(), CLOSURE, [], ["    optimizer.zero_grad()"],
    ),
    "more rounds by default": (
        LongerTraining(3), IN_A_FUNCTION,
        ["def fit(optimizer, epochs=4):"], ["def fit(optimizer, epochs=12):"],
    ),
    "a minus dropped": (
        OtherSign(), SGD.format(0.5).replace("= nn.functional", "= -nn.functional"),
        ["    loss = -nn.functional.mse_loss(net(x), y)"],
        ["    loss = nn.functional.mse_loss(net(x), y)"],
    ),
    "a minus put in": (
        OtherSign(), SGD.format(0.5), ["    loss.backward()"], ["    (-loss).backward()"],
    ),
    "maximize dropped": (
        OtherSign(), SGD.format("0.5, maximize=True"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.5, maximize=True)"],
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.5)"],
    ),
    "no decay": (
        Regularization(0.0), SGD.format("0.5, weight_decay=1e-2"),
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=1e-2)"],
        ["optimizer = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.0)"],
    ),
    "shuffled by the training loader alone": (
        Shuffling(), LOADED.format("batch_size=4, shuffle=False"),
        ["loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=False)"],
        ["loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)"],
    ),
    "shuffled by an argument": (
        Shuffling(), LOADED.format("4"),
        ["loader = DataLoader(TensorDataset(x, y), 4)"],
        ["loader = DataLoader(TensorDataset(x, y), 4, shuffle=True)"],
    ),
    "shuffled rows": (
        Shuffling(), BY_ROWS,
        ["        loss = nn.functional.mse_loss(net(x[i:i + 4]), y[i:i + 4])"],
        ["    order = torch.randperm(len(x))",
         "        loss = nn.functional.mse_loss(net(x[order[i:i + 4]]), y[order[i:i + 4]])"],
    ),
    "shuffled rows, the name taken": (
        Shuffling(), "order = 3" + BY_ROWS,
        ["        loss = nn.functional.mse_loss(net(x[i:i + 4]), y[i:i + 4])"],
        ["    permutation = torch.randperm(len(x))",
         "        loss = nn.functional.mse_loss("
         "net(x[permutation[i:i + 4]]), y[permutation[i:i + 4]])"],
    ),
    "larger batches": (
        BatchSize(4), BY_ROWS,
        ["    for i in range(0, len(x), 4):",
         "        loss = nn.functional.mse_loss(net(x[i:i + 4]), y[i:i + 4])"],
        ["    for i in range(0, len(x), 16):",
         "        loss = nn.functional.mse_loss(net(x[i:i + 16]), y[i:i + 16])"],
    ),
    "stopped earlier": (
        EarlyStopping(4), SGD.format(0.5), ["for step in range(9):"], ["for step in range(4):"],
    ),
    "another initialization": (
        Initialization("he"), SGD.format(0.5), [],
        ["for layer in net.modules():", "    if isinstance(layer, nn.Linear):",
         '        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
         "        nn.init.zeros_(layer.bias)"],
    ),
    "evaluation mode": (
        Mode("evaluation"),
        SGD.format(0.5) + "net.train(True)\nwith torch.no_grad():\n    net(x)\n",
        ["net.train(True)"], ["net.eval()"],
    ),
}  # fmt: skip


def changed(before, after):
    """The lines taken away and those put in."""
    rows = diff("train.py", before, after).splitlines()[2:]
    return [one[1:] for one in rows if one[0] == "-"], [one[1:] for one in rows if one[0] == "+"]


@pytest.mark.parametrize("name", LINES)
def test_these_lines_change(name):
    change, script, gone, new = LINES[name]
    before = lines(TRAINING + script)
    edit = edited(before, [change])
    assert edit is not None
    assert changed(before, edit.source) == (gone, new)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", LINES)
def test_ends_of_lines_stay(name, newline):
    change, script, *_ = LINES[name]
    before = lines(TRAINING + script)
    edit, other = edited(before, [change]), edited(before.replace("\n", newline), [change])
    assert other.source == edit.source.replace("\n", newline)


def test_the_difference_is_a_patch(tmp_path):
    before = lines(TRAINING + SGD.format(0.5)).rstrip("\n")  # no newline at its end
    after = edited(before, [Clipping(), LearningRate(0.1)]).source + "\nprint(1)"
    path = tmp_path / "train.py"
    path.write_text(before)
    text = diff("train.py", before, after)
    subprocess.run(["git", "apply", "-p0", "-"], cwd=tmp_path, input=text, text=True, check=True)
    assert path.read_text() == after


def test_the_command_line_goes_before_a_default():
    given = edited(HEAD + OPTIONS, [LearningRate(0.1)], ["--lr", "2"])
    assert "lr=0.1 * args.lr" in given.source
    assert "default=0.1)" in given.source
    assert "default=0.01)" in edited(HEAD + OPTIONS, [LearningRate(0.1)], ["--steps", "2"]).source


def test_what_has_no_place_is_left_with_its_reason():
    wiring = LossWiring("log-probabilities")
    edit = edited(HEAD + PLAIN, [wiring, Clipping()])
    assert edit.made == (Clipping(),)
    assert edit.left == ((wiring, "the loss whose wiring is to change is not seen"),)


OUT_OF_SIGHT = "optimizer = getattr(torch.optim, 'SGD')(net.parameters(), lr=0.5)" + LOOP
# name: (change, script); nothing is guessed
REFUSED = {
    "no Python": (Clipping(), "for ("),
    "nothing": (Clipping(), ""),
    "a kind without a line": (from_data({"kind": "permuted-targets"}), SGD.format(0.5)),
    "optimizer chosen elsewhere": (LearningRate(0.1), OUT_OF_SIGHT),
    "optimizer from another file": (
        LearningRate(0.1), "from mine import make\noptimizer = make(net)" + LOOP,
    ),
    "settings collected elsewhere": (
        LearningRate(0.1),
        "o = {'lr': 1}\noptimizer = torch.optim.SGD(net.parameters(), **o)" + LOOP,
    ),
    "rate set as it runs": (
        LearningRate(0.1),
        SGD.format(0.5) + "    optimizer.param_groups[0]['lr'] = 1 / (1 + step)\n",
    ),
    "several optimizers, one rate": (
        LearningRate(value=0.1),
        "other = torch.optim.SGD(net.parameters(), lr=0.1)\n" + SGD.format(0.5),
    ),
    "cycled rate": (
        OptimizerSwap("adam"),
        "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "s = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=9)" + LOOP,
    ),
    "a step of something unknown": (
        Clipping(), "from gym import game\n" + SGD.format(0.5) + "    game.step()\n",
    ),
    "a closure": (Clipping(), CLOSURE),
    "shuffled already": (Shuffling(), LOADER),
    "an order of its own": (Shuffling(), FUNCTIONS),
    "a loop without an end": (
        LongerTraining(3), SGD.format(0.5).replace("for step in range(9)", "while True"),
    ),
    "several updates a round": (EarlyStopping(4), BY_ROWS),
    "classes as targets": (TargetStandardization(1.0, 2.0, 0, 1), LOADER),
    "everything trained": (TrainedParameters(), SGD.format(0.5)),
    "weights of other kinds": (
        Initialization("he"), SGD.format(0.5).replace("net.p", "nn.Linear(2, 1).p"),
    ),
    "initialized later": (
        Initialization("he"),
        "optimizer = torch.optim.SGD(net.parameters(), lr=1)\nnn.init.ones_(net.weight)" + LOOP,
    ),
    "never evaluated": (Mode("evaluation"), SGD.format(0.5)),
    "the last batch dropped": (BatchSize(4), LOADED.format("4, drop_last=True")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_guessed(name):
    change, script = REFUSED[name]
    assert edited(lines(TRAINING + script), [change]) is None
