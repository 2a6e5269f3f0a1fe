"""Curvature beside other libraries: products, eigenvalues, traces, densities, learning rates.

    python benchmarks/curvature.py                           all of it; half an hour
    python benchmarks/curvature.py --rows extremal,traces
    python benchmarks/curvature.py --quick                   small models, few seeds

Each row measures ours and, where they are installed (`benchmarks/requirements-peers.txt`), other
libraries in the same process on the same model, and says which of its aims it met. Products,
multiplications and errors are counted; times are medians of ratios to a gradient's in the same
turn, of one thread.
"""

from command import Benchmark
from curving.peers import NAMES, PEERS, present

CURVATURE = Benchmark(
    title="Curvature beside other libraries",
    summary=__doc__.splitlines()[0],
    package="curving",
    rows=(
        *("exactness", "flops", "clock", "demanding", "extremal", "certificates"),
        *("traces", "densities", "divergence", "memory"),
    ),
    page="curvature-cpu.md",
    peers=NAMES,
    beside=lambda names: [PEERS[name].title for name in present(names)],
    seeds=1000,
)

if __name__ == "__main__":
    CURVATURE.main()
