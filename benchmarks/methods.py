"""Methods that ask for the loss more than once, beside other libraries' minimizers.

    python benchmarks/methods.py                             all of it
    python benchmarks/methods.py --rows line_searches,saddles
    python benchmarks/methods.py --quick                     few problems

Each row gives the same problems from the same starts to ours, with its defaults, and to other
libraries where they are installed (`benchmarks/requirements-peers.txt`), counts evaluations, and
says which of its aims it met. An evaluation is the loss with its gradient; only the row on a step's
own arithmetic is timed.
"""

from command import Benchmark
from solving.peers import PACKAGES, titles

METHODS = Benchmark(
    title="Methods that ask for the loss more than once, beside other libraries",
    summary=__doc__.splitlines()[0],
    package="solving",
    rows=(
        *("line_searches", "cutest", "more_garbow_hillstrom", "maxent", "saddles"),
        *("full_batch", "kronecker", "arithmetic"),
    ),
    page="methods-cpu.md",
    peers=tuple(PACKAGES),
    beside=titles,
    seeds=5,
)

if __name__ == "__main__":
    METHODS.main()
