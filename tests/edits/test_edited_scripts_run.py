"""The edited script computes what the unedited one computes under the interventions."""

import math

import pytest
import torch
from scripts_as_text import (
    BY_HAND,
    CLOSURE,
    DROPPING,
    FUNCTIONS,
    GROUPS,
    HEAD,
    LOADER,
    OPTIONS,
    PLAIN,
    SEED,
    run,
)

from thalweg.edits import edited
from thalweg.interventions import (
    ActivationSwap,
    BatchSize,
    ClassWeights,
    ClearStaleGradients,
    Clipping,
    InputStandardization,
    InsertedActivation,
    LearningRate,
    LongerTraining,
    LossWiring,
    Mode,
    Normalization,
    OptimizerSetting,
    OptimizerSwap,
    OtherSign,
    Regularization,
    Schedule,
    TrainedParameters,
)


def without(text, line):
    assert line in text
    return text.replace(line, "")


def with_(text, old, new):
    assert old in text
    return text.replace(old, new)


UP = with_(PLAIN, "    loss = F.cross", "    loss = -F.cross")
SOFT = with_(PLAIN, "nn.Linear(6, 3))", "nn.Linear(6, 3), nn.Softmax(dim=1))")
SIGMOID = with_(
    PLAIN, "F.cross_entropy(model(x), labels)",
    "F.binary_cross_entropy_with_logits(torch.sigmoid(model(x)), F.one_hot(labels).float())",
)  # fmt: skip
RAW = with_(PLAIN, "F.cross_entropy", "F.nll_loss")
PROBABILITIES = with_(SOFT, "F.cross_entropy", "F.nll_loss")
ROW = with_(FUNCTIONS, "F.mse_loss(net(x[rows]), y[rows])", "F.mse_loss(net(x[rows]), y[rows, 0])")
NAMED_ROW = with_(
    FUNCTIONS, "loss = F.mse_loss(net(x[rows]), y[rows])",
    "out = net(x[rows])\n            loss = F.mse_loss(out, y[rows, 0])",
)  # fmt: skip
RATES = with_(
    PLAIN, "F.cross_entropy(model(x), labels)",
    "F.poisson_nll_loss(F.softplus(model(x)), F.one_hot(labels).float())",
)  # fmt: skip
RATES_BY_PLACE = with_(RATES, "labels).float())", "labels).float(), True)")
RATES_OF_AN_OBJECT = with_(
    RATES, "F.poisson_nll_loss(F.softplus", "nn.PoissonNLLLoss(full=True)(F.softplus"
)
LOGARITHMS = with_(
    RATES, "F.softplus(model(x)), F.one_hot(labels).float()",
    "2 + 0.1 * model(x), F.one_hot(labels).float(), log_input=False",
)  # fmt: skip
IN_A_LIST = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = [nn.Linear(4, 6), nn.Linear(6, 6)]
        self.last = nn.Linear(6, 3)

    def forward(self, data):
        for layer in self.hidden:
            data = torch.tanh(layer(data))
        return self.last(data)


model = Net()
""" + PLAIN.split("\n", 2)[2]
EVALUATING = with_(
    DROPPING, "    loss = F.cross_entropy(model(x), labels)",
    "    model.eval()\n    loss = F.cross_entropy(model(x), labels)",
)  # fmt: skip
ACCUMULATING = """
model = nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(8):
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    if step % 2:
        optimizer.step()
    losses.append(loss.item())
"""
MOMENTS = {"mean": [2.0, 2.0, 2.0, 2.0], "std": [1.0, 5.0, 0.2, 3.0]}

# name: (interventions, script, rounding)
CASES = {
    "rate": (LearningRate(0.3), PLAIN, 1e-6),
    "rate, class's own": (LearningRate(0.1), LOADER, 1e-6),
    "rate, parameter's default": (LearningRate(10.0), FUNCTIONS, 1e-6),
    "rate, groups and schedule": (LearningRate(3.0), GROUPS, 1e-5),
    "rate, closure": (LearningRate(0.5), CLOSURE, 1e-6),
    "rate, option": (LearningRate(0.5), OPTIONS, 1e-6),
    "rate set": (LearningRate(value=0.02), PLAIN, 1e-6),
    "rate set, groups": (LearningRate(value=0.05), GROUPS, 1e-5),
    "rate held": (LearningRate(1.0, hold=True), GROUPS, 0),
    "rate held and doubled": (LearningRate(2.0, hold=True), GROUPS, 1e-6),
    "rate of a cycle": (
        LearningRate(0.5),
        with_(GROUPS, "StepLR(optimizer, 2, 0.5)", "OneCycleLR(optimizer, 0.3, total_steps=9)"),
        1e-5,
    ),
    "rate to anneal to": (
        LearningRate(0.5),
        with_(GROUPS, "StepLR(optimizer, 2, 0.5)", "CosineAnnealingLR(optimizer, 6, eta_min=0.01)"),
        1e-5,
    ),
    "optimizer": (OptimizerSwap("adam", 0.01), PLAIN, 1e-5),
    "optimizer at its own rate": (OptimizerSwap("adam"), PLAIN, 1e-5),
    "optimizer, decay in groups": (OptimizerSwap("adam", 0.01), GROUPS, 1e-5),
    "optimizer, its own decay": (OptimizerSwap("adamw", 0.01), PLAIN, 1e-5),
    "optimizer, decay passed": (OptimizerSwap("adam", 0.01), FUNCTIONS, 1e-5),
    "optimizer, settings": (OptimizerSwap("sgd", 0.01, {"momentum": 0.9}), LOADER, 1e-5),
    "optimizer of our own": (OptimizerSwap("lion", 0.01), PLAIN, 1e-5),
    "setting": (OptimizerSetting({"momentum": 0.9}), PLAIN, 0),
    "setting, class's own": (OptimizerSetting({"betas": [0.5, 0.9], "eps": 1e-3}), LOADER, 0),
    "clipping": (Clipping(0.05), PLAIN, 1e-4),
    "clipping, groups": (Clipping(0.05), GROUPS, 1e-4),
    "clipping elsewhere": (
        Clipping(0.5), with_(FUNCTIONS, "torch.optim.AdamW", "torch.optim.SGD"), 1e-4,
    ),
    "clear": (ClearStaleGradients(), without(PLAIN, "    optimizer.zero_grad()\n"), 0),
    "clear, elsewhere": (
        ClearStaleGradients(), without(FUNCTIONS, "            optimizer.zero_grad()\n"), 0,
    ),
    "clear, closure": (ClearStaleGradients(), CLOSURE, 1e-6),
    "clear, by hand": (ClearStaleGradients(), BY_HAND, 0),
    "clear, accumulating": (ClearStaleGradients(), ACCUMULATING, 0),
    "longer": (LongerTraining(3), PLAIN, 0),
    "longer, from one": (LongerTraining(2), FUNCTIONS, 0),
    "longer, option": (LongerTraining(2), OPTIONS, 0),
    "sign, maximize": (
        OtherSign(), with_(PLAIN, "momentum=0.5", "momentum=0.5, maximize=True"), 0,
    ),
    "regularization": (Regularization(0.0), DROPPING, 0),
    "less regularization": (Regularization(0.5), DROPPING, 1e-6),
    "regularization, class's own": (
        Regularization(0.0),
        with_(LOADER, "torch.optim.Adam(", "torch.optim.AdamW(lr=0.1, params="),
        1e-6,
    ),
    "activation in a sequence": (ActivationSwap("leaky_relu", [0], 1), PLAIN, 1e-6),
    "activation, second of two": (ActivationSwap("relu", [1], 2), FUNCTIONS, 1e-6),
    "activation, both": (ActivationSwap("leaky_relu", [0, 1], 2), FUNCTIONS, 1e-6),
    "activation, none": (ActivationSwap("identity", [1], 2), FUNCTIONS, 1e-6),
    "activation put in": (
        InsertedActivation("tanh", [0], 2), without(PLAIN, "nn.Tanh(), "), 1e-6,
    ),
    "activation put in, called": (InsertedActivation("relu", [1], 3), FUNCTIONS, 1e-6),
    "normalization": (Normalization([0], 2), PLAIN, 1e-5),
    "loss on logits": (LossWiring("logits"), SOFT, 1e-6),
    "loss on probabilities": (LossWiring("logits"), SIGMOID, 1e-5),
    "loss on outputs": (LossWiring("log-probabilities"), RAW, 1e-6),
    "loss on log-probabilities": (LossWiring("log-probabilities"), PROBABILITIES, 1e-5),
    "loss on rates": (LossWiring("rates"), RATES, 1e-6),
    "loss on rates, by place": (LossWiring("rates"), RATES_BY_PLACE, 1e-6),
    "loss on rates, of an object": (LossWiring("rates"), RATES_OF_AN_OBJECT, 1e-6),
    "loss on logarithms of rates": (LossWiring("log-rates"), LOGARITHMS, 1e-6),
    "one shape": (LossWiring("same-shape"), ROW, 1e-6),
    "one shape, named": (LossWiring("same-shape"), NAMED_ROW, 1e-6),
    "evaluation": (Mode("evaluation"), DROPPING, 0),
    "training": (Mode("training"), EVALUATING, 0),
    "batches of a loader": (BatchSize(3), LOADER, 0),
    "batches of slices": (BatchSize(2), FUNCTIONS, None),
    "schedule": (Schedule(5), PLAIN, 1e-5),
    "schedule, linear": (Schedule(5, "linear"), PLAIN, 1e-5),
    "schedule with warmup": (Schedule(5, "cosine", 2), PLAIN, 1e-5),
    "class weights": (ClassWeights([0.5, 1.0, 3.0]), PLAIN, 1e-6),
    "every parameter": (TrainedParameters(), IN_A_LIST, 1e-6),
    "inputs": (InputStandardization, PLAIN, 1e-4),
    "inputs of a loader": (InputStandardization, LOADER, 1e-4),
    "inputs by rows": (InputStandardization, FUNCTIONS, 1e-4),
    "two at once": ([LearningRate(0.3), Clipping(0.05)], PLAIN, 1e-4),
    "three at once": (
        [OptimizerSwap("adam", 0.01), LearningRate(3.0), OptimizerSetting({"eps": 1e-3})],
        PLAIN, None,
    ),
}  # fmt: skip


def interventions(one):
    """The changes of a case; the moments of the inputs are those of its own data."""
    if one is InputStandardization:
        names = {}
        torch.manual_seed(SEED)
        exec(HEAD, names)
        std, mean = torch.std_mean(names["x"].double(), 0, correction=0)
        return [InputStandardization([{"mean": mean.tolist(), "std": std.tolist()}])]
    return one if isinstance(one, list) else [one]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", CASES)
def test_the_edit_is_the_intervention(name, tmp_path):
    one, body, rounding = CASES[name]
    script = HEAD + body
    changes = interventions(one)
    edit = edited(script, changes)
    assert edit is not None
    assert edit.left == ()
    assert edit.made == tuple(changes)
    path = tmp_path / "script.py"
    own = run(script, path)
    after = run(edit.source, path)
    if rounding is not None:
        under = run(script, path, changes)
        assert after == pytest.approx(under, rel=rounding, abs=rounding)
    assert after != pytest.approx(own, rel=1e-3)
    assert all(map(math.isfinite, after))
