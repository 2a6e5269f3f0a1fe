"""Each rule once more, derived from its paper, in `references/`: one file per rule.

A reference is a module with

    reference(p, grads, **hyper)   the parameter after a step along each gradient; for a rule with
                                   the fact "pointwise", of one coordinate in Python's own floats,
                                   otherwise of whole float64 tensors (or of lists of them, for a
                                   rule that sees all parameters together: ALL = True)
    VALUES    what each hyperparameter is tried at, beside its learning rate
    ACTIVE    settings that switch every term on, for laws and forms
    allowed   optional: which combinations of VALUES may be
    BOWL      optional: settings with which the rule descends a bowl step by step
"""

from importlib import import_module
from pathlib import Path

NAMES = sorted(path.stem for path in (Path(__file__).parent / "references").glob("*.py"))
REFERENCES = {name: import_module(f"references.{name}") for name in NAMES}
