"""The cases of a clinic: faulty scripts with their fix, and healthy ones."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

METRIC = re.compile(r"^metric=(\S+)$", re.M)


@dataclass(frozen=True)
class Case:
    """A folder with `faulty.py` and `fixed.py`, or `healthy.py`, and `case.json`."""

    folder: Path
    accept: tuple[str, ...]
    higher_is_better: bool

    @property
    def name(self):
        return self.folder.name

    @property
    def healthy(self):
        return (self.folder / "healthy.py").exists()

    @property
    def script(self):
        return self.folder / ("healthy.py" if self.healthy else "faulty.py")

    @property
    def fixed(self):
        return self.folder / "fixed.py"


def cases(folder):
    """All cases of a folder, by name."""
    found = []
    for path in sorted(Path(folder).resolve().glob("*/case.json")):
        data = json.loads(path.read_text())
        found.append(Case(path.parent, tuple(data["accept"]), bool(data["higher_is_better"])))
    return found


def metric_in(output):
    """The last `metric=` of what a script printed; None where there is none, or none finite."""
    found = METRIC.findall(output)
    try:
        value = float(found[-1]) if found else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def repaired(case, faulty, changed, fixed):
    """Whether a change recovers half of the way from the faulty run to the fixed one.

    From a faulty run without a finite metric: whether it comes within half of the fixed value.
    """
    if changed is None or fixed is None:
        return False
    sign = 1 if case.higher_is_better else -1
    if faulty is None:
        return sign * (changed - fixed) >= -0.5 * abs(fixed)
    return changed != faulty and sign * (changed - faulty) >= 0.5 * sign * (fixed - faulty)
