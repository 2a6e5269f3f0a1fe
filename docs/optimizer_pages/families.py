"""Which rules belong together: the groups of the overview, and whom a picture compares with whom.

A family lists its rules from the plain to the elaborate; a rule that stands in no family fails a
test. In a picture a rule meets the neighbours that it was made from or is mistaken for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.optim import OPTIMIZERS, RULES

KNOWN = {*RULES, *OPTIMIZERS}

FAMILIES: dict[str, tuple[str, ...]] = {
    "Descent and momentum": (
        "sgd", "sgd_with_history", "momentum", "nesterov", "asgd", "sgdschedulefree",
        "coordinate_descent",
    ),
    "Signs": ("sign_sgd", "rprop", "lion"),
    "A rate for every coordinate": (
        "adagrad", "rmsprop", "adadelta", "adam", "sparse_adam", "adamax", "nadam", "radam", "yogi",
        "adabelief", "adan", "adamwschedulefree", "sophia",
    ),
    "A rate for every layer": ("lars", "lamb"),
    "Matrices": ("adafactor", "muon", "shampoo", "soap"),
    "No rate to choose": ("prodigy",),
}  # fmt: skip

# Settings of a rule that deserve a path of their own.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd, momentum 0.9": ("sgd", {"momentum": 0.9}),
    "sophia": ("sophia", {"curvature_scale": 10.0}),  # so that not all coordinates are clipped
}

RELATIVES: dict[str, tuple[str, ...]] = {
    "sgd": ("sgd, momentum 0.9", "nesterov", "adam"),
    "sgd_with_history": ("sgd", "momentum"),
    "momentum": ("sgd", "nesterov", "adam"),
    "nesterov": ("sgd", "momentum", "nadam"),
    "asgd": ("sgd", "sgdschedulefree"),
    "sgdschedulefree": ("sgd", "sgd, momentum 0.9", "asgd"),
    "sign_sgd": ("sgd", "rprop", "lion"),
    "rprop": ("sgd", "sign_sgd", "rmsprop"),
    "lion": ("sign_sgd", "momentum", "adam"),
    "adagrad": ("sgd", "rmsprop", "adam"),
    "rmsprop": ("adagrad", "rprop", "adam"),
    "adadelta": ("adagrad", "rmsprop", "adam"),
    "adam": ("momentum", "rmsprop", "nadam"),
    "sparse_adam": ("adam", "adagrad"),
    "adamax": ("adam", "rmsprop"),
    "nadam": ("adam", "nesterov"),
    "radam": ("adam", "momentum"),
    "yogi": ("adam", "adabelief"),
    "adabelief": ("adam", "yogi"),
    "adan": ("adam", "nadam", "nesterov"),
    "adamwschedulefree": ("adam", "sgdschedulefree"),
    "sophia": ("adam", "sgd, momentum 0.9", "lion"),
    "coordinate_descent": ("sgd", "rprop"),
    "prodigy": ("adam", "sgd"),
    "lars": ("sgd, momentum 0.9", "lamb"),
    "lamb": ("adam", "lars"),
    "adafactor": ("adam", "rmsprop"),
    "muon": ("momentum", "adam", "soap"),
    "shampoo": ("adagrad", "soap", "muon"),
    "soap": ("adam", "shampoo", "muon"),
}


@dataclass(frozen=True)
class Walker:
    """Who walks a path: a rule or an optimizer at some settings, and what the legend calls it."""

    label: str
    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def walker(label: str) -> Walker:
    """The walker of a rule or of a variant."""
    return Walker(label, *VARIANTS.get(label, (label, {})))


def walkers(rule: str) -> list[Walker]:
    """A rule and those it is compared with: the table's, or its neighbours in the family."""
    labels = (rule, *RELATIVES.get(rule, neighbours(rule)))
    return [walker(label) for label in labels if walker(label).rule in KNOWN]


def neighbours(rule: str, count: int = 3) -> list[str]:
    """The nearest others of the same family, earlier ones first among equals."""
    members = FAMILIES.get(family(rule), ())
    place = members.index(rule) if rule in members else 0
    others = [name for name in members if name != rule and name in KNOWN]
    nearest = sorted(others, key=lambda name: abs(members.index(name) - place))[:count]
    return sorted(nearest, key=members.index)


def family(rule: str) -> str:
    """The family that a rule stands in; `Others` for none."""
    found = [name for name, members in FAMILIES.items() if rule in members]
    return found[0] if found else "Others"


def place(rule: str) -> int:
    """Where a rule stands among all families; behind them all if in none."""
    everyone = [name for members in FAMILIES.values() for name in members]
    return everyone.index(rule) if rule in everyone else len(everyone)
