"""The shelf of rules, one formula per file; `RULES` finds them by name."""

from thalweg.optim.rule import Rule
from thalweg.optim.rules.adagrad import adagrad
from thalweg.optim.rules.adam import adam
from thalweg.optim.rules.sgd import sgd

RULES: dict[str, Rule] = {each.name: each for each in (sgd, adagrad, adam)}

__all__ = ["RULES", "adagrad", "adam", "sgd"]
