"""The first compiled steps of a process, in a process of its own.

    python -m stepping.cold adam resnet50

prints its seconds. `TORCHINDUCTOR_CACHE_DIR` says what the processes before it may have left.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stepping.architectures import ARCHITECTURES
from stepping.contestants import OPTIONS, Model, Stepper
from stepping.race import first_steps
from thalweg import optim


def cold_and_warm(rule, architecture):
    """Seconds of compiled first steps with nothing on disk, and of the next process's."""
    with tempfile.TemporaryDirectory() as cache:
        return {name: _process(rule, architecture, cache) for name in ("new process", "from disk")}


def _process(rule, architecture, cache):
    command = [sys.executable, "-m", "stepping.cold", rule, architecture]
    place = Path(__file__).parent.parent
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
    done = subprocess.run(
        command, cwd=place, env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def main(rule, architecture):
    model = Model.of(ARCHITECTURES[architecture], "cpu")
    options = {**OPTIONS.get(rule, {}), "form": "compiled"}
    print(first_steps(Stepper(optim.OPTIMIZERS[rule], model, options), "cpu"))


if __name__ == "__main__":
    main(*sys.argv[1:])
