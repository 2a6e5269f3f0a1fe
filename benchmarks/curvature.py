"""Curvature beside other libraries: products, eigenvalues, traces, densities, learning rates.

    python benchmarks/curvature.py                           all of it; half an hour
    python benchmarks/curvature.py --rows extremal,traces
    python benchmarks/curvature.py --quick                   small models, few seeds

Each row measures ours and, where they are installed (`benchmarks/requirements-peers.txt`), other
libraries in the same process on the same model, and says which of its aims it met. Products,
multiplications and errors are counted; times are medians of ratios to a gradient's in the same
turn, of one thread.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import torch
from curving.peers import NAMES, PEERS, present
from curving.section import Scale
from stepping import clocks, machine

ROWS = (
    *("exactness", "flops", "clock", "demanding", "extremal", "certificates"),
    *("traces", "densities", "divergence", "memory"),
)


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help=f"out of {', '.join(ROWS)}")
    parser.add_argument("--peers", default=",".join(NAMES), help="if they are installed")
    parser.add_argument("--seeds", type=int, default=1000, help="of the trace's intervals")
    parser.add_argument("--turns", type=int, default=9, help="of what is timed")
    parser.add_argument("--busy", action="store_true", help="others use the machine: own time")
    parser.add_argument("--quick", action="store_true", help="small models, few seeds")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the tables there")
    chosen = parser.parse_args(given)
    chosen.rows = _names(parser, chosen.rows, ROWS)
    chosen.peers = _names(parser, chosen.peers, NAMES)
    return chosen


def _names(parser, words, known):
    names = tuple(word for word in words.split(",") if word)
    for name in names:
        if name not in known:
            parser.error(f"{name!r}: choose among {', '.join(known)}.")
    return names


def measure(chosen):
    """One row after the other."""
    scale = Scale(chosen.quick, chosen.peers, chosen.seeds, chosen.turns)
    for name in chosen.rows:
        start = time.perf_counter()
        section = import_module(f"curving.{name}").measure(scale)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        yield section


def page(sections, chosen):
    """All tables as one Markdown text."""
    words = [f"{machine.in_words('cpu')}, Python {platform.python_version()}."]
    words += ["Beside: " + ", ".join(PEERS[name].title for name in present(chosen.peers))]
    if chosen.busy:
        words.append("Times are the processor's, as others used the machine.")
    if chosen.quick:
        words.append("A quick run: small models and few seeds; it decides no aim.")
    met = [aim.met for section in sections for aim in section.aims if aim.value is not None]
    verdict = f"{sum(met)} of {len(met)} aims met."
    parts = ["# Curvature beside other libraries", "\n".join(words), verdict]
    return "\n\n".join([*parts, *(section.markdown() for section in sections)]) + "\n"


def write(sections, chosen):
    if chosen.json:
        chosen.json.write_text(json.dumps([s.as_data() for s in sections], indent=1))
    if chosen.save:
        chosen.save.mkdir(parents=True, exist_ok=True)
        (chosen.save / "curvature-cpu.md").write_text(page(sections, chosen))


def main():
    chosen = arguments()
    warnings.simplefilter("ignore")  # of other libraries, about their own use of PyTorch
    torch.set_num_threads(1)
    machine.in_words("cpu")  # now, while the load is that of others
    if chosen.busy:
        clocks.count_own_time()
    sections = []
    for section in measure(chosen):
        sections.append(section)
        write(sections, chosen)  # each time: a run of half an hour may be cut short
    print(page(sections, chosen))


if __name__ == "__main__":
    main()
