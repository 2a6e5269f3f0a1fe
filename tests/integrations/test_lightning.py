"""Lightning's `Trainer` with the callback: the same losses bit for bit, and what broke, in time."""

import logging
import math

import pytest
import pytorch_lightning as pl
import torch
from test_writing import Notes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg
from thalweg.integrations import LightningCallback
from thalweg.watching import TrainingBroke

pytestmark = [
    # Lightning's advice on workers and logging, and what it calls of PyTorch's that is deprecated
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
BAD, STEPS = 7, 20


class Module(pl.LightningModule):
    def __init__(self, fault=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.fault, self.losses = fault, []

    def training_step(self, batch, index):
        inputs, targets = batch
        outputs = self.net(inputs)
        if index == BAD and self.fault == "gradient":
            outputs = outputs + torch.sqrt(outputs * 0)
        if index == BAD and self.fault == "exception":
            raise RuntimeError("enough")
        loss = (outputs - targets).square().mean()
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        inputs, targets = batch
        self.log("held out", (self.net(inputs) - targets).square().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit(callbacks, fault=None, **options):
    """A module that has been fitted, by a trainer with these callbacks."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(1)
    data = TensorDataset(torch.randn(160, 4), torch.randn(160, 1))
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks, **options,
    )  # fmt: skip
    module = Module(fault)
    torch.manual_seed(2)
    trainer.fit(module, DataLoader(data, 16, shuffle=True), DataLoader(data, 80))
    return module


def state(module):
    return [one.tolist() for one in module.state_dict().values()]


@pytest.mark.parametrize("budget", [0.05, 1000.0])
@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.1, "accumulate_grad_batches": 2}])
def test_the_run_is_the_same_bit_for_bit(budget, options, capsys):
    callback = LightningCallback(budget=budget)
    plain, watched = fit([], **options), fit(callback, **options)
    assert watched.losses == plain.losses
    assert state(watched) == state(plain)
    steps = STEPS // options.get("accumulate_grad_batches", 1)
    assert callback.data["script"]["steps"] == steps
    assert callback.data["script"]["finished"]
    assert callback.data["budget"]["trouble"] == []
    assert f"of {steps} steps in full" in capsys.readouterr().err


def test_the_gradient_is_that_of_the_step_although_a_closure_computes_it(capsys):
    notes = Notes()
    torch.manual_seed(1)

    norms = []

    class Norms(pl.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            norms.append(math.hypot(*(p.grad.norm().item() for p in module.parameters())))

    fit([LightningCallback(budget=1000.0, writers=[notes]), Norms()])
    assert len(notes.rows) >= 5
    for step, row in notes.rows.items():
        assert row["thalweg/gradient-norm"] == pytest.approx(norms[step], rel=1e-5)
    assert notes.closed == 1


@pytest.mark.parametrize("budget", [0.05, 1000.0])
def test_a_bad_gradient_stops_the_fit_before_it_is_used(budget, capsys):
    callback = LightningCallback(budget=budget, stop=True, folder="kept", report=False)
    with pytest.raises(TrainingBroke, match=f"step {BAD}: The loss is finite and its gradient"):
        fit(callback, "gradient")
    trouble = callback.data["watched"]["trouble"]
    assert (trouble["kind"], trouble["step"], trouble["state_step"]) == ("gradient", BAD, BAD)
    kept = torch.load("kept/last-good.pt", weights_only=True)
    assert len(kept["optimizers"]) == 1
    assert all(torch.isfinite(one).all() for one in kept["models"][0].values())
    assert "WATCHED" not in capsys.readouterr().err


def test_an_exception_ends_the_watch_and_passes_through(capsys):
    callback = LightningCallback()
    with pytest.raises(RuntimeError, match="enough"):
        fit(callback, "exception")
    assert callback.data["baseline"]["ended"] == "crashed"
    assert callback.data["reason"] == f"Step {BAD}: RuntimeError: enough"
    assert not torch._C._len_torch_function_stack()
    fit(callback)
    assert callback.data["script"]["finished"]
    assert "<iframe" in callback._repr_html_()


def test_what_cannot_be_is_said_where_it_is_written():
    with pytest.raises(ValueError, match="share"):
        LightningCallback(budget=0)
    assert isinstance(LightningCallback(), pl.Callback)
    assert LightningCallback().data == {}
    assert thalweg.integrations.LightningCallback is LightningCallback
