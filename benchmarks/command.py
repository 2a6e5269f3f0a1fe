"""What the benchmarks of many rows have in common: their arguments, their page, their files.

A row is a module of the benchmark's package with a function `measure`, from a `Scale` to a
`Section`.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from section import Scale
from stepping import clocks, machine


@dataclass(frozen=True)
class Benchmark:
    """A command.

    Attributes:
        title: of its page.
        summary: of its help.
        package: where its rows are.
        rows: their names, in order.
        page: name of the file that it saves.
        peers: names of other libraries.
        beside: from some of these names to those that are installed, with their versions.
        seeds: how many it draws where probabilities are measured, if not told.
    """

    title: str
    summary: str
    package: str
    rows: tuple[str, ...]
    page: str
    peers: tuple[str, ...]
    beside: Callable[[tuple[str, ...]], list[str]]
    seeds: int

    def main(self, given=None):
        chosen = arguments(self, given)
        warnings.simplefilter("ignore")  # of other libraries, about their own use of PyTorch
        torch.set_num_threads(1)
        machine.in_words("cpu")  # now, while the load is that of others
        if chosen.busy:
            clocks.count_own_time()
        sections = []
        for section in measured(self, chosen):
            sections.append(section)
            write(self, sections, chosen)  # each time: a long run may be cut short
        print(page(self, sections, chosen))


def arguments(benchmark, given=None):
    parser = argparse.ArgumentParser(description=benchmark.summary)
    rows, peers = benchmark.rows, benchmark.peers
    parser.add_argument("--rows", default=",".join(rows), help=f"out of {', '.join(rows)}")
    parser.add_argument("--peers", default=",".join(peers), help="if they are installed")
    parser.add_argument("--seeds", type=int, default=benchmark.seeds, help="random starts")
    parser.add_argument("--turns", type=int, default=9, help="of what is timed")
    parser.add_argument("--busy", action="store_true", help="others use the machine: own time")
    parser.add_argument("--quick", action="store_true", help="small problems, few seeds")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the tables there")
    chosen = parser.parse_args(given)
    chosen.rows = _names(parser, chosen.rows, rows)
    chosen.peers = _names(parser, chosen.peers, peers)
    return chosen


def _names(parser, words, known):
    names = tuple(word for word in words.split(",") if word)
    for name in names:
        if name not in known:
            parser.error(f"{name!r}: choose among {', '.join(known)}.")
    return names


def measured(benchmark, chosen):
    """One row after the other."""
    scale = Scale(chosen.quick, chosen.peers, chosen.seeds, chosen.turns)
    for name in chosen.rows:
        start = time.perf_counter()
        section = import_module(f"{benchmark.package}.{name}").measure(scale)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        yield section


def page(benchmark, sections, chosen):
    """All tables as one Markdown text."""
    words = [f"{machine.in_words('cpu')}, Python {platform.python_version()}."]
    words += ["Beside: " + ", ".join(benchmark.beside(chosen.peers))]
    if chosen.busy:
        words.append("Times are the processor's, as others used the machine.")
    if chosen.quick:
        words.append("A quick run: small problems and few seeds; it decides no aim.")
    met = [aim.met for section in sections for aim in section.aims if aim.value is not None]
    verdict = f"{sum(met)} of {len(met)} aims met."
    parts = [f"# {benchmark.title}", "\n".join(words), verdict]
    return "\n\n".join([*parts, *(section.markdown() for section in sections)]) + "\n"


def write(benchmark, sections, chosen):
    if chosen.json:
        chosen.json.write_text(json.dumps([s.as_data() for s in sections], indent=1))
    if chosen.save:
        chosen.save.mkdir(parents=True, exist_ok=True)
        (chosen.save / benchmark.page).write_text(page(benchmark, sections, chosen))
