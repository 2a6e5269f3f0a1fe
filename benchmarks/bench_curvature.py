"""What a Hessian product costs: through the kept graph, and from the loss each time.

    python benchmarks/bench_curvature.py

Times are of one thread. The three ways take turns, and each table entry is the median of the
ratios within a turn, so that a load on the machine that comes and goes cancels out.
"""

import statistics
import time

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.curvature import Hessian

TURNS = 15


def mlp():
    model = nn.Sequential(
        nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10)
    )
    return model, torch.randn(256, 784), torch.randn(256, 10)


def convolutions():
    layers = [layer for _ in range(4) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(16, 16, 16, 16), torch.randn(16, 16, 16, 16)


def transformer():
    layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=256, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2), torch.randn(16, 32, 64), torch.randn(16, 32, 64)


def ways(model, inputs, targets):
    """A gradient, a product through the kept graph, and one that begins with the loss."""
    params = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
    hessian = Hessian.of_model(model, F.mse_loss, (inputs, targets))
    v = torch.randn(hessian.size)
    parts = list(hessian.layout.unflatten(v).values())

    def gradients(create_graph=False):
        with sdpa_kernel(SDPBackend.MATH):
            loss = F.mse_loss(functional_call(model, params, (inputs,)), targets)
            return torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)

    def from_the_loss():
        with sdpa_kernel(SDPBackend.MATH):
            torch.autograd.grad(gradients(create_graph=True), list(params.values()), parts)

    return {
        "gradient": gradients,
        "kept graph": lambda: hessian @ v,
        "from the loss": from_the_loss,
    }


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works):
    """The median over turns of each time divided by the gradient's in the same turn."""
    for work in works.values():
        work()
    turns = [{name: seconds(work) for name, work in works.items()} for _ in range(TURNS)]
    return {
        name: statistics.median(turn[name] / turn["gradient"] for turn in turns) for name in works
    }


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(f"{'x gradient':14}{'kept graph':>12}{'from the loss':>15}{'saved':>8}")
    for make in (mlp, convolutions, transformer):
        ratio = interleaved(ways(*make()))
        kept, naive = ratio["kept graph"], ratio["from the loss"]
        print(f"{make.__name__:14}{kept:12.2f}{naive:15.2f}{1 - kept / naive:8.0%}")


if __name__ == "__main__":
    main()
