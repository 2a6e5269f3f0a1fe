"""Saliencies, compensation, patterns; the network of a script."""

from mutants.mutant import of

OWN = tuple(f"tests/pruning/test_{name}.py" for name in ("brain_surgeon", "patterns", "prune"))
SCRIPTS = ("tests/survey/test_at_the_end.py",)

MUTANTS = [
    *of(
        "pruning/brain_surgeon.py",
        OWN,
        ("weights[..., :units].square() / curvature", "weights[..., :units].square() * curvature",
         "a weight's freedom makes it dear"),
        ("weights - weights.gather(2, spot) @ across", "weights + weights.gather(2, spot) @ across",
         "the others make it worse"),
        ("inverse.baddbmm_(down, across, alpha=-1)", "None",
         "those that are gone still count"),
        ("left[problems, group[unit]] -= 1", "None", "quotas are never full"),
    ),
    *of(
        "pruning/sparse_gpt.py",
        OWN,
        ("/ upper[at, at]", "", "errors are not scaled"),
        ("(rows / diagonal).square()", "rows.square()", "magnitude under another name"),
    ),
    *of(
        "pruning/network.py",
        OWN,
        ("-(inverse @ gradient[order])", "inverse @ gradient[order]",
         "later rounds start from the wrong side"),
        ("quotas = (every.quotas - done).clamp(min=0)", "quotas = every.quotas",
         "what is gone is to go again"),
    ),
    *of(
        "pruning/schedule.py",
        OWN,
        ("** 3", "** 1", "a linear schedule"),
    ),
    *of(
        "pruning/units.py",
        OWN,
        ("rank < units.quotas[units.group]", "rank <= units.quotas[units.group]", "one too many"),
    ),
    *of(
        "survey/last_change.py",
        SCRIPTS,
        ("if self.at is None or self._seen.get(id(module)) != state:", "if self.at is None:",
         "what was loaded since is not seen"),
    ),
    *of(
        "survey/pruner.py",
        SCRIPTS,
        ("known is not None and not self._holds(module)", "known is not None and not self._masks",
         "parameters that are loaded are not pruned"),
        ("return next(alike, None) if shapes else None", "return None",
         "copies and averages stay as they are"),
        ("self.sparsity,\n                self.method", "0.5,\n                self.method",
         "always one half"),
    ),
    *of(
        "survey/last_batches.py",
        SCRIPTS,
        ("return math.fsum(values) / len(values)", "return math.fsum(values)", "a sum of losses"),
        ("part.detach().clone() if", "part.detach() if", "inputs are overwritten"),
    ),
    *of(
        "survey/at_the_end.py",
        SCRIPTS,
        ("self._readings.forget()", "pass", "a value from before"),
        ("return values[-1] if values else None", "return values[0] if values else None",
         "the first pass counts"),
    ),
]  # fmt: skip
