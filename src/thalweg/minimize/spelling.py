"""Names as people write them: ``L-BFGS``, ``lbfgs`` and ``l_bfgs`` are one."""

import re
from collections.abc import Collection
from difflib import get_close_matches

OTHER_NAMES = {
    "cg": "polak-ribiere+",
    "nonlinear-cg": "polak-ribiere+",
    "conjugate-gradient": "polak-ribiere+",
    "conjugate-gradients": "polak-ribiere+",
    "gradient-descent": "steepest-descent",
    "lm": "levenberg-marquardt",
    "gn": "gauss-newton",
    "hf": "hessian-free",
    "sfn": "saddle-free-newton",
    "ngd": "natural-gradient",
}

# Names that an unknown one is answered with, and how like it they are at least.
MOST_NEAR, ALIKE = 3, 0.5
LISTING = "`thalweg explain` lists all names"


def known_as(name: str, known: Collection[str]) -> str | None:
    """The one of `known` that is meant by a name; None if there is none."""
    if name in known:
        return name
    meant = {squeezed(one): one for one in known}
    others = {squeezed(a): b for a, b in OTHER_NAMES.items() if b in known}
    return (others | meant).get(squeezed(name))


def nearest(name: str, known: Collection[str]) -> list[str]:
    """The names most like one that is not known, the best first; none where none is like it."""
    names = {squeezed(one): one for one in known}
    return [names[one] for one in get_close_matches(squeezed(name), names, MOST_NEAR, ALIKE)]


def suggestion(name: str, known: Collection[str]) -> str:
    """What to say about a name that is not known: the nearest names, and where all of them are."""
    near = " or ".join(map(repr, nearest(name, known)))
    return f"did you mean {near}? {LISTING}" if near else LISTING


def squeezed(name: str) -> str:
    """A name without what people spell in several ways: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name.lower())
