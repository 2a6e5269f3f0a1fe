"""Names as people write them: ``L-BFGS``, ``lbfgs`` and ``l_bfgs`` are one."""

import re
from collections.abc import Collection

OTHER_NAMES = {
    "cg": "polak-ribiere+",
    "nonlinear-cg": "polak-ribiere+",
    "conjugate-gradient": "polak-ribiere+",
    "gradient-descent": "steepest-descent",
}


def known_as(name: str, known: Collection[str]) -> str | None:
    """The one of `known` that is meant by a name; None if there is none."""
    if name in known:
        return name
    meant = {squeezed(one): one for one in known}
    others = {squeezed(a): b for a, b in OTHER_NAMES.items() if b in known}
    return (others | meant).get(squeezed(name))


def squeezed(name: str) -> str:
    """A name without what people spell in several ways: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name.lower())
