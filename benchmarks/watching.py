"""What watching costs a training step, from outside: plain and watched runs, interleaved.

Each run is a process of its own on one thread and times its own steps by the processor's clock of
its thread, so that what other programs do to the machine falls out as far as it can. A pair of runs
gives two ratios of watched over plain: of the median step, and of all steps together. Printed are
the medians over the pairs with their range, beside what the watched runs have said themselves.

    python benchmarks/watching.py [--quick] [--save benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

STEPS = {"mlp": 12_000, "cnn": 2_500, "transformer": 1_200}


class Tokens(nn.Module):
    """A small transformer over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.leave = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.leave(self.encoder(self.enter(images.squeeze(1))).mean(1))


def network(name: str) -> nn.Module:
    if name == "mlp":
        hidden = nn.Linear(64, 128), nn.ReLU()
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, 10))
    if name == "cnn":
        first = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        second = nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(128, 10))
    return Tokens()


def train(name: str, steps: int) -> list[float]:
    """Train on scikit-learn's digits; seconds of each step."""
    from sklearn.datasets import load_digits

    data, labels = map(torch.from_numpy, load_digits(return_X_y=True))
    images = data.float().reshape(-1, 1, 8, 8) / 16
    torch.manual_seed(0)
    net = network(name)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    seconds = []
    for _ in range(steps):
        begun = time.thread_time()
        rows = torch.randint(len(images), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimizer.step()
        seconds.append(time.thread_time() - begun)
    return seconds


def one_run(name: str, steps: int, watched: bool) -> dict[str, Any]:
    """One run in this process."""
    torch.set_num_threads(1)
    train(name, 50)  # so that PyTorch has loaded what it loads late
    if not watched:
        seconds = train(name, steps)
        return {"median": statistics.median(seconds), "total": sum(seconds)}
    import thalweg

    with thalweg.watch() as watching:
        seconds = train(name, steps)
    told = watching.data["watched"]
    return {
        "median": statistics.median(seconds),
        "total": sum(seconds),
        "inside": told["overhead"],
        "sampled": told["sampled"],
    }


def in_a_process(name: str, steps: int, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", name, str(steps), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(name: str, steps: int, pairs: int) -> dict[str, Any]:
    """Ratios over pairs of runs whose order alternates."""
    found = []
    for pair in range(pairs):
        kinds = ("plain", "watched") if pair % 2 else ("watched", "plain")
        found.append({kind: in_a_process(name, steps, kind) for kind in kinds})
    plain, watched = [one["plain"] for one in found], [one["watched"] for one in found]
    both = list(zip(plain, watched, strict=True))
    return {
        "step": statistics.median(one["median"] for one in plain),
        "median": [b["median"] / a["median"] - 1 for a, b in both],
        "total": [b["total"] / a["total"] - 1 for a, b in both],
        "inside": [one["inside"] for one in watched],
        "sampled": statistics.median(one["sampled"] for one in watched),
    }


def spread(shares: list[float]) -> str:
    low, middle, high = min(shares), statistics.median(shares), max(shares)
    return f"{100 * middle:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| network | plain step | median step | whole run | said by the run | steps in full |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        cells = [spread(row[key]) for key in ("median", "total", "inside")]
        shown = [name, f"{1e6 * row['step']:.0f} µs", *cells, f"{row['sampled']:.0f}"]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two short pairs of each network")
    parser.add_argument("--save", type=Path, help="folder for the page of results")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, steps, kind = options.run
        print(json.dumps(one_run(name, int(steps), kind == "watched")))
        return
    pairs, share = (2, 0.1) if options.quick else (7, 1.0)
    rows = {name: measured(name, int(share * steps), pairs) for name, steps in STEPS.items()}
    text = table(rows)
    print(text)
    if options.save:
        head = (
            "# What watching costs, on a CPU\n\nWatched over plain, in per cent, medians over "
            f"{pairs} interleaved pairs of runs with their range. Budget: 5 %. Steps of batches of "
            f"64 digits, Adam, one thread, PyTorch {torch.__version__}.\n\n"
        )
        (options.save / "watch-cpu.md").write_text(head + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
