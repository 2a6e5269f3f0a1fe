"""What a hundred steps of Lanczos hold: stated, capped, and obeyed as the operating system sees it.

python -m curving.memory WIDTH CAP     a run in a process of its own, which prints its figures
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from section import Aim, Section
from torch import nn

from thalweg.curvature import Hessian
from thalweg.linalg import lanczos

STEPS, BATCH = 100, 8
CAPS = (3 << 30,)
WORDS = """A layer of 25 million float32 parameters with its tanh, and `lanczos(memory=...)` for
100 products on its Hessian, in a process of its own. "Stated" is `memory` of the result; "seen"
the process's highest resident memory during the run, beyond what it held before, less what one
product of the operator takes by itself in the same way."""


def measure(scale):
    section = Section("Memory of a hundred steps", WORDS, HEAD)
    width, caps = (700, (3 << 24,)) if scale.quick else (5000, CAPS)
    most = 0.0
    for cap in caps:
        found = in_a_process(width, cap)
        section.rows.append(row(found, cap, 4 * STEPS * found["size"]))
        most = max(most, found["stated"] / cap, found["seen"] / cap)
    words = "what is stated and what is seen are at most the cap"
    section.aims.append(Aim(words, most, 1.0, shown=f"{most:.3f} of it"))
    return section


HEAD = ["parameters", "cap", "stated", "seen", "vectors", "restarts", "without a cap"]


def row(found, cap, whole):
    sizes = [gigabytes(size) for size in (cap, found["stated"], found["seen"])]
    counts = [str(found["held"]), str(found["restarts"])]
    return [f"{found['size']:,}", *sizes, *counts, gigabytes(whole)]


def gigabytes(size):
    return f"{size / 1e9:.3f} GB"


def in_a_process(width, cap):
    command = [sys.executable, "-m", "curving.memory", str(width), str(cap)]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def resident(what):
    """Bytes: "VmRSS", resident now, or "VmHWM", at the highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def highest_during(work):
    """The most memory during `work` beyond that before, and its result."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest is that of now
    before = resident("VmRSS")
    result = work()
    return resident("VmHWM") - before, result


def of_a_product(operator):
    """The most that its second product takes, with the vector that it returns."""
    vector = torch.randn(operator.size)
    operator @ vector
    return highest_during(lambda: operator @ vector)[0]


def run(width, cap):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width, bias=False), nn.Tanh())
    data = (torch.randn(BATCH, width), torch.randn(BATCH, width))
    with Hessian.of_model(model, nn.MSELoss(), data) as hessian:
        alone = of_a_product(hessian)
        peak, found = highest_during(
            lambda: lanczos(hessian, k=3, tol=1e-15, max_products=STEPS, memory=cap)
        )
    return {
        "size": width * width,
        "alone": alone,
        "seen": peak - alone,
        "stated": found.memory,
        "held": found.held,
        "restarts": found.restarts,
        "products": found.products,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
