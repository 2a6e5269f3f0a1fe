"""Training programs of many styles, as functions that know nothing of a session.

Each is given ``say``, its way to print a number, and returns the tensors that it ends with. They
are small (a dozen updates) and draw everything from the global random state.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

Say = Callable[[object], None]
Program = Callable[[Say], Iterable[torch.Tensor]]

PROGRAMS: dict[str, Program] = {}
UNPLAYABLE: dict[str, str] = {}  # programs whose steps cannot be played again: what the tape says
COMPILED: dict[str, Program] = {}


def program(function: Program) -> Program:
    """A program for the table."""
    PROGRAMS[function.__name__] = function
    return function


def unplayable(why: str) -> Callable[[Program], Program]:
    """A program for the table whose tape must say why it cannot be played."""

    def add(function: Program) -> Program:
        UNPLAYABLE[function.__name__] = why
        return program(function)

    return add


def table(rows: int = 48, features: int = 5, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A classification problem with some noise."""
    x = torch.randn(rows, features)
    y = (x @ torch.randn(features, classes) + 0.3 * torch.randn(rows, classes)).argmax(1)
    return x, y


def network(dropout: float = 0.0) -> nn.Sequential:
    """5 features, 8 hidden units, 3 classes."""
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def ended(*modules: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and buffers."""
    for module in modules:
        yield from module.state_dict().values()


def descend(
    model: Callable[..., torch.Tensor], optimizer: torch.optim.Optimizer, x: torch.Tensor,
    y: torch.Tensor, say: Say, steps: int = 6,
) -> None:  # fmt: skip
    """Plain training by cross-entropy."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        say(loss.item())


@program
def raw_loop(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    descend(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), x, y, say)
    with torch.no_grad():
        say((model(x).argmax(1) == y).float().mean().item())
    return ended(model)


@program
def zero_grad_late(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network(0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(5):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        say(f"{loss:.6f}")
    return ended(model)


@program
def loader(say: Say) -> Iterable[torch.Tensor]:
    data = DataLoader(TensorDataset(*table()), batch_size=16, shuffle=True)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        total = 0.0
        for x, y in data:
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        say(total / 48)
        model.eval()
        with torch.no_grad():
            say(sum((model(x).argmax(1) == y).sum().item() for x, y in data))
        model.train()
    return ended(model)


@program
def loader_with_workers(say: Say) -> Iterable[torch.Tensor]:
    data = DataLoader(TensorDataset(*table()), batch_size=24, shuffle=True, num_workers=1,
                      multiprocessing_context="fork")  # fmt: skip
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in data:
        descend(model, optimizer, x, y, say, 1)
    return ended(model)


@program
def functional(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    w = torch.randn(5, 3, requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    for _ in range(6):
        loss = F.cross_entropy(x @ w + b, y) + 0.01 * w.square().sum()
        gw, gb = torch.autograd.grad(loss, (w, b))
        with torch.no_grad():
            w -= 0.2 * gw
            b -= 0.2 * gb
        say(loss.item())
    return [w, b]


@program
def gradients_by_hand(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    for _ in range(6):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
            p.grad.zero_()
        say(float(loss))
    return ended(model)


@program
def gradients_assigned(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        loss = F.cross_entropy(model(x), y)
        params = list(model.parameters())
        for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
            p.grad = g
        optimizer.step()
        say(loss.item())
    return ended(model)


@program
def closure(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")

    def evaluate() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        say(optimizer.step(evaluate).item())
    return ended(model)


@program
def scheduler_and_groups(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.5, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=6)
    for _ in range(6):
        descend(model, optimizer, x, y, say, 1)
        schedule.step()
        say(schedule.get_last_lr())
    return ended(model)


@program
def adversaries(say: Say) -> Iterable[torch.Tensor]:
    real = torch.randn(32, 2) + 3
    maker = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    judge = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    making = torch.optim.Adam(maker.parameters(), lr=0.01, betas=(0.5, 0.999))
    judging = torch.optim.Adam(judge.parameters(), lr=0.01, betas=(0.5, 0.999))
    ones, zeros = torch.ones(32, 1), torch.zeros(32, 1)
    say_no = F.binary_cross_entropy_with_logits
    for _ in range(4):
        fake = maker(torch.randn(32, 4))
        judging.zero_grad()
        loss = say_no(judge(real), ones) + say_no(judge(fake.detach()), zeros)
        loss.backward()
        judging.step()
        making.zero_grad()
        fooled = say_no(judge(fake), ones)
        fooled.backward()
        making.step()
        say((loss.item(), fooled.item()))
    return ended(maker, judge)


@program
def half_precision(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(x)
            loss = F.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        say(loss.item())
    return ended(model)


@program
def autocast_around_all(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            optimizer.zero_grad()
            with torch.autocast("cpu", enabled=False):
                hidden = torch.tanh(model[0](x))
            loss = F.cross_entropy(model[3](hidden).float(), y)
            loss.backward()
            optimizer.step()
            say(loss.item())
    return ended(model)


@program
def scaled_loss(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    for step in range(6):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        if step == 3:
            loss = loss * float("inf")  # a step that the scaler skips
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        say((loss.item(), scaler.get_scale()))
    return ended(model)


@program
def accumulation(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        for part in range(3):
            rows = slice(16 * part, 16 * part + 16)
            loss = F.cross_entropy(model(x[rows]), y[rows]) / 3
            loss.backward()
            say(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    return ended(model)


@program
def dropout_and_batch_norm(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True),
                          nn.Dropout(0.4), nn.Linear(8, 3))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, nesterov=True, momentum=0.9)
    descend(model, optimizer, x, y, say)
    model.eval()
    with torch.no_grad():
        say(F.cross_entropy(model(x), y).item())
    return ended(model)


@program
def recurrent(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randn(12, 7, 4), torch.randint(3, (12,))
    nets = [nn.RNN(4, 6, batch_first=True), nn.GRU(4, 6, batch_first=True, bidirectional=True),
            nn.LSTM(4, 6, 2, batch_first=True, dropout=0.2)]  # fmt: skip
    for net in nets:
        head = nn.LazyLinear(3)
        head(net(x)[0][:, -1])
        optimizer = torch.optim.RMSprop([*net.parameters(), *head.parameters()], lr=0.01)
        descend(lambda x, net=net, head=head: head(net(x)[0][:, -1]), optimizer, x, y, say, 4)
    return ended(*nets)


@program
def recurrent_cells_and_packing(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randn(7, 6, 4), torch.randint(3, (6,))
    cell, packed, head = nn.LSTMCell(4, 6), nn.GRU(4, 6), nn.Linear(12, 3)
    params = [*cell.parameters(), *packed.parameters(), *head.parameters()]
    lengths = torch.tensor([7, 6, 5, 4, 4, 2])

    def model(x: torch.Tensor) -> torch.Tensor:
        h, c = torch.zeros(6, 6), torch.zeros(6, 6)
        for part in x:
            h, c = cell(part, (h, c))
        _, last = packed(nn.utils.rnn.pack_padded_sequence(x, lengths))
        return head(torch.cat([h, last[0]], 1))

    descend(model, torch.optim.Adam(params, lr=0.01), x, y, say, 4)
    return ended(cell, packed, head)


@program
def random_before_the_backward_pass(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network(0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        x = x + 0.1 * torch.randn_like(x)
        loss.backward()
        optimizer.step()
        say((loss.item(), torch.rand(1).item()))
    return ended(model)


@program
def convolution(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randn(12, 2, 8, 8), torch.randint(3, (12,))
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Dropout2d(0.1), nn.Conv2d(4, 6, 3), nn.GELU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))  # fmt: skip
    descend(model, torch.optim.Adam(model.parameters(), lr=0.01), x, y, say, 4)
    model.eval()
    with torch.inference_mode():
        say((model(x).argmax(1) == y).sum().item())
    return ended(model)


@program
def transformer(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randn(8, 6, 16), torch.randint(3, (8,))
    padding = torch.zeros(8, 6, dtype=torch.bool)
    padding[:4, 4:] = True
    one = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
    encoder = nn.TransformerEncoder(one, 2)
    attention, head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 3)

    def model(x: torch.Tensor) -> torch.Tensor:
        h = encoder(x, src_key_padding_mask=padding)
        return head(attention(h, h, h, need_weights=False)[0].mean(1))

    params = [*encoder.parameters(), *attention.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(params, lr=0.01)
    for _ in range(3):
        descend(model, optimizer, x, y, say, 1)
        encoder.eval(), attention.eval()
        with torch.no_grad():
            out = model(x)
            say((F.cross_entropy(out, y).item(), out.flatten()[:9].tolist()))
        say(F.cross_entropy(model(x), y).item())
        encoder.train(), attention.train()
    return [*ended(encoder, attention, head), out]


@program
def embedding(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randint(20, (16, 5)), torch.randint(3, (16,))
    bag = nn.EmbeddingBag(20, 4)
    words, head = nn.Embedding(20, 4, padding_idx=0), nn.Linear(8, 3)
    optimizer = torch.optim.Adagrad([*words.parameters(), *bag.parameters(), *head.parameters()])
    descend(lambda x: head(torch.cat([words(x).mean(1), bag(x)], 1)), optimizer, x, y, say)
    return ended(words, bag, head)


@program
def sparse_gradients(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randint(20, (16, 5)), torch.randint(3, (16,))
    words = nn.Embedding(20, 3, sparse=True)
    optimizer = torch.optim.SparseAdam(words.parameters(), lr=0.05)
    descend(lambda x: words(x).mean(1), optimizer, x, y, say, 4)
    return ended(words)


class Cube(torch.autograd.Function):
    """A function of the user's own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x * x * gradient


@unplayable("no visible call computed")
def custom_function(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    descend(lambda x: model[3](Cube.apply(model[0](x))), optimizer, x, y, say)
    return ended(model)


@program
def checkpointed(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network(0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    descend(lambda x: checkpoint(model, x, use_reentrant=False), optimizer, x, y, say)
    return ended(model)


@unplayable("no visible call computed")
def checkpointed_by_reentering(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network(0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x.requires_grad_()
    descend(lambda x: checkpoint(model, x, use_reentrant=True), optimizer, x, y, say)
    return ended(model)


@program
def parametrized(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[3])
    descend(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, say)
    return ended(model)


@program
def averaged_copy(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    shadow = copy.deepcopy(model).requires_grad_(False)
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        descend(model, optimizer, x, y, say, 1)
        average.update_parameters(model)
        with torch.no_grad():
            for s, p in zip(shadow.parameters(), model.parameters(), strict=True):
                s.lerp_(p, 0.1)
            say((shadow(x).argmax(1) == y).float().mean().item())
    best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return ended(model, shadow, average)


@program
def default_device(say: Say) -> Iterable[torch.Tensor]:
    torch.set_default_device("cpu")
    try:
        return list(raw_loop(say))
    finally:
        torch.set_default_device(None)


class Counting(TorchFunctionMode):
    """A mode of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


@program
def mode_of_its_own(say: Say) -> Iterable[torch.Tensor]:
    with Counting() as mode:
        result = list(dropout_and_batch_norm(say))
    say(mode.calls)
    return result


@program
def saved_and_loaded(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    descend(model, optimizer, x, y, say, 3)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "x": x}, file)
    say(len(file.getvalue()))
    file.seek(0)
    found = torch.load(file)
    model, optimizer = network(), None
    model.load_state_dict(found["model"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    optimizer.load_state_dict(found["optimizer"])
    descend(model, optimizer, found["x"], y, say, 3)
    say(str(optimizer))
    return ended(model)


@program
def written_in_place(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def forward(x: torch.Tensor) -> torch.Tensor:
        h = model[0](x)
        h[:, :2] = torch.sigmoid(h[:, :2])
        h = h.relu_().clone()
        h += 0.1
        joined = torch.zeros(len(x), 8)
        joined[:, 0] = 1.0
        joined[:, 1:] = h[:, 1:]
        flat = joined.view(-1)
        joined.mul_(1.5)
        out = torch.zeros(len(x), 3)
        out += model[3](flat.view(-1, 8))
        return out

    descend(forward, optimizer, x, y, say)
    return ended(model)


@program
def written_through_a_view(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def forward(x: torch.Tensor) -> torch.Tensor:
        h = model[0](x)
        first = h[:, 0]
        half = h.narrow(1, 4, 4)
        h.mul_(2.0)
        return model[3](h) + first[:, None] + half.sum(1, keepdim=True)

    descend(forward, optimizer, x, y, say)
    return ended(model)


@program
def noise_from_a_generator(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own = torch.Generator().manual_seed(3)

    def forward(x: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(model[0](x))
        kept = torch.bernoulli(h, generator=own)
        return model[3](h * kept + 0.1 * torch.randn_like(h))

    descend(forward, optimizer, x, y, say)
    say(torch.rand(3, generator=own).tolist())
    return ended(model)


@unplayable("no visible call computed")
def gradient_penalty(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        x.requires_grad_()
        out = model(x)
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        loss = F.cross_entropy(out, y) + 0.1 * slope.square().sum(1).mean()
        loss.backward()
        optimizer.step()
        say(loss.item())
    return ended(model)


@program
def evaluates_with_gradients(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        descend(model, optimizer, x, y, say, 1)
        out = model(x)
        say(((out.data.max(1)[1] == y).sum().item(), F.cross_entropy(out, y).item()))
    return ended(model)


@program
def penalties(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss = loss + 1e-3 * sum(p.abs().sum() for p in model.parameters())
        loss += 1e-2 * torch.linalg.vector_norm(model[0].weight)
        loss.backward()
        optimizer.step()
        say(loss.item())
    return ended(model)


@program
def weights_shared(say: Say) -> Iterable[torch.Tensor]:
    x, y = torch.randint(3, (10, 6)), torch.randint(3, (10, 6))
    words, middle = nn.Embedding(3, 4), nn.Linear(4, 4)
    optimizer = torch.optim.SGD([*words.parameters(), *middle.parameters()], lr=0.1)

    def model(x: torch.Tensor) -> torch.Tensor:
        return F.linear(torch.tanh(middle(words(x))), words.weight).flatten(0, 1)

    descend(model, optimizer, x, y.flatten(), say)
    return ended(words, middle)


@program
def double_and_complex(say: Say) -> Iterable[torch.Tensor]:
    target = torch.randn(4, dtype=torch.complex128)
    z = torch.zeros(4, dtype=torch.complex128, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = (z - target).abs().square().sum()
        loss.backward()
        optimizer.step()
        say(loss.item())
    return [z]


@program
def functional_transforms(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss_of(params: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(torch.func.functional_call(model, params, (x,)), y)

    for _ in range(4):
        each = torch.func.vmap(torch.func.grad(loss_of), (None, 0, 0))(params, x, y)
        params = {k: p - 0.1 * each[k].mean(0) for k, p in params.items()}
        say(loss_of(params, x, y).item())
    return params.values()


@program
def step_that_fails(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()

    class Failing(torch.optim.SGD):
        count = 0

        def step(self, closure: Any = None) -> Any:
            self.count += 1
            if self.count == 2:
                raise RuntimeError("not this time")
            return super().step(closure)

    optimizer = Failing(model.parameters(), lr=0.1)
    for _ in range(3):
        try:
            descend(model, optimizer, x, y, say, 1)
        except RuntimeError as error:
            say(str(error))
    return ended(model)


@unplayable("no visible call computed")
def traced_and_scripted(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    with __import__("warnings").catch_warnings():
        __import__("warnings").simplefilter("ignore")
        traced = torch.jit.trace(model, x)
    descend(traced, torch.optim.SGD(model.parameters(), lr=0.1), x, y, say)
    return ended(model)


@program
def operations_counted(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    with FlopCounterMode(display=False) as counter:
        descend(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, say, 2)
    say(counter.get_total_flops())
    descend(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, say, 2)
    return ended(model)


def compiled_model(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    descend(torch.compile(model), optimizer, x, y, say)
    return ended(model)


def compiled_function(say: Say) -> Iterable[torch.Tensor]:
    x, y = table()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile
    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(x), y)

    for _ in range(5):
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        say(loss.item())
    return ended(model)


COMPILED |= {"compiled_model": compiled_model, "compiled_function": compiled_function}
