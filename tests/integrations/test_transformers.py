"""Transformers' `Trainer` with the callback, and a loop of Accelerate's under `watch` alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

import thalweg
from thalweg.integrations import TransformersCallback

pytestmark = [
    # the libraries' own, about themselves and PyTorch
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FAILS_AT = 5


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.drop = nn.Embedding(50, 8), nn.Dropout(0.2)
        self.head = nn.Linear(8, 2)

    def forward(self, tokens, labels=None):
        logits = self.head(self.drop(self.embed(tokens).mean(1)))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


class Counting(Trainer):
    def compute_loss(self, *args, **kwargs):
        loss = super().compute_loss(*args, **kwargs)
        if len(self.losses) == self.fails_at:
            raise RuntimeError("enough")
        self.losses.append(loss.item())
        return loss


def trainer(callbacks, fails_at=None, **options):
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (128, 6))
    rows = [{"tokens": row, "labels": (row[0] > 25).long()} for row in tokens]
    arguments = TrainingArguments(
        output_dir="out", num_train_epochs=2, per_device_train_batch_size=16, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True, logging_strategy="no",
        dataloader_pin_memory=False, **options,
    )  # fmt: skip
    made = Counting(model=Classifier(), args=arguments, train_dataset=rows, callbacks=callbacks)
    made.losses, made.fails_at = [], fails_at
    return made


def trained(callbacks, **options):
    made = trainer(callbacks, **options)
    made.train()
    return made


@pytest.mark.parametrize("budget", [0.05, 1000.0])
@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}])
def test_the_run_is_the_same_bit_for_bit(budget, options, capsys):
    callback = TransformersCallback(budget=budget)
    plain, watched = trained([], **options), trained([callback], **options)
    assert watched.losses == plain.losses
    for one, other in zip(watched.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = 16 // options.get("gradient_accumulation_steps", 1)
    assert callback.data["script"]["steps"] == steps
    assert callback.data["budget"]["trouble"] == []
    assert f"of {steps} steps in full" in capsys.readouterr().err


def test_an_exception_within_the_callback_ends_the_watch_at_once(capsys):
    callback = TransformersCallback(report=False, folder="kept")
    with pytest.raises(RuntimeError, match="enough"), callback:
        trainer([callback], FAILS_AT).train()
    assert callback.data["reason"] == f"Step {FAILS_AT}: RuntimeError: enough"
    assert not torch._C._len_torch_function_stack()
    kept = torch.load("kept/last-good.pt", weights_only=True)
    assert (kept["step"], len(kept["optimizers"])) == (FAILS_AT, 1)
    assert isinstance(callback, TrainerCallback)


def test_an_exception_elsewhere_is_reported_as_the_process_ends():
    code = (
        "from test_transformers import trainer, TransformersCallback\n"
        f"trainer([TransformersCallback()], {FAILS_AT}).train()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError: enough") >= 2  # Python's own word, and ours
    assert f"Step {FAILS_AT}: RuntimeError: enough" in done.stderr
    assert "It crashed" in done.stderr


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_a_loop_of_accelerates_needs_nothing_but_watch(mixed_precision):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from torch.utils.data import DataLoader, TensorDataset

    def losses():
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True, mixed_precision=mixed_precision)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        data = DataLoader(TensorDataset(torch.randn(128, 4)), 16, shuffle=True)
        model, optimizer, data = accelerator.prepare(model, optimizer, data)
        found = []
        for (inputs,) in data:
            with accelerator.accumulate(model):
                loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            found.append(loss.item())
        return found

    plain = losses()
    with thalweg.watch(budget=1000.0) as watching:
        watched = losses()
    assert watched == plain
    assert watching.data["script"]["steps"] == len(plain)
    assert watching.data["baseline"]["loss"]["values"] == pytest.approx(plain)
    assert watching.data["watched"]["sampled"] >= 3
    assert watching.data["budget"]["trouble"] == []
