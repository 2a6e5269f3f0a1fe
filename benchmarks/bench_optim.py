"""What a step costs against PyTorch's own optimizers: its loop, its foreach and its fused kernel.

    python benchmarks/bench_optim.py [--compiled]

Each table entry is the median, over turns, of a time divided by the loop's time in the same turn,
so that a load on the machine that comes and goes cancels out. Below 1 is faster than PyTorch's
loop, its default on a CPU. `--compiled` adds the compiled form, which first takes some ten seconds
for each optimizer.
"""

import argparse
import statistics
import time

import torch

from thalweg import optim

SIZES = [(4, 64), (60, 64), (400, 64), (60, 1_000), (60, 8_000), (10, 100_000), (1, 10_000_000)]
OPTIMIZERS = [("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {})]
SECONDS = 1.5  # for one line of the table


def parameters(count, size):
    params = [torch.nn.Parameter(torch.randn(size)) for _ in range(count)]
    for p in params:
        p.grad = torch.randn(size)
    return params


def contestants(name, options, count, size, forms):
    theirs, ours = getattr(torch.optim, name), getattr(optim, name)
    make = lambda kind, **more: kind(parameters(count, size), **options, **more)
    return {
        "loop": make(theirs, foreach=False),
        "foreach": make(theirs, foreach=True),
        "fused": make(theirs, fused=True),
        **{form: make(ours, form=form) for form in forms},
    }


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def compare(runs):
    """The loop's median time in seconds, and everyone's median ratio to it."""
    for optimizer in runs.values():
        optimizer.step()
        optimizer.step()
    end, turns = time.perf_counter() + SECONDS, []
    while time.perf_counter() < end or len(turns) < 5:
        turns.append({name: seconds(optimizer.step) for name, optimizer in runs.items()})
    ratios = {name: statistics.median(turn[name] / turn["loop"] for turn in turns) for name in runs}
    return statistics.median(turn["loop"] for turn in turns), ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiled", action="store_true", help="measure the compiled form too")
    forms = ["auto", "each", "together"] + ["compiled"] * parser.parse_args().compiled
    print(f"{torch.get_num_threads()} threads; times relative to torch.optim's loop\n")
    columns = ["foreach", "fused", *forms]
    print(f"{'':6} {'tensors x size':>18} {'loop':>10}", *(f"{c:>9}" for c in columns))
    for name, options in OPTIMIZERS:
        for count, size in SIZES:
            loop, ratios = compare(contestants(name, options, count, size, forms))
            shape = f"{count} x {size:,}"
            entries = (f"{ratios[c]:9.2f}" for c in columns)
            print(f"{name:6} {shape:>18} {loop * 1e3:7.3f} ms", *entries, flush=True)


if __name__ == "__main__":
    main()
