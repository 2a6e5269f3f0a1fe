"""The glossary: every hyperparameter's name, meaning and domain, written once.

A rule may only use names that stand here, so one name has one meaning in the whole package.
Names, domains and the wording of refusals are PyTorch's where PyTorch has them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from torch import Tensor

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Hyperparameter:
    """One entry of the glossary."""

    name: str
    meaning: str
    domain: str  # in words: "must be ..."
    holds: Check  # in code, for one number
    complaint: str  # how a refusal begins; may name {index} or {place}, a choice's {value}
    switch: bool = False  # true or false, so not checked as a number
    optional: bool = False  # None is allowed, for one of several too, and means "off"
    choices: tuple[str, ...] = ()  # the names to choose among, where it is not a number
    length: int = 1  # of how many numbers it consists; each must be in the domain

    def among(self, *choices: str) -> Hyperparameter:
        """This entry for a rule that knows only some of the names."""
        return replace(self, choices=choices, domain=_one_of(choices))


GLOSSARY: dict[str, Hyperparameter] = {}


def define(
    name: str,
    meaning: str,
    domain: str = "any number",
    holds: Check = lambda x: True,
    complaint: str | None = None,
    *,
    switch: bool = False,
    optional: bool = False,
    choices: tuple[str, ...] = (),
    length: int = 1,
) -> Hyperparameter:
    """Add a hyperparameter to the glossary, so that rules may use its name.

    Raises:
        ValueError: the name is taken; one name has one meaning.
    """
    if name in GLOSSARY:
        raise ValueError(
            f"define({name!r}): this name already means {GLOSSARY[name].meaning!r}. "
            "Use it in that meaning, or choose another name."
        )
    complaint = complaint or f"Invalid {name} value"
    domain = _one_of(choices) if choices else "True or False" if switch else domain
    entry = Hyperparameter(
        name, meaning, domain, holds, complaint, switch, optional, choices, length
    )
    GLOSSARY[name] = entry
    return entry


def _one_of(choices: Iterable[str]) -> str:
    return f"one of {', '.join(map(repr, choices))}"


def _not_negative(x: Any) -> bool:
    return bool(x >= 0)


def _positive(x: Any) -> bool:
    return bool(x > 0)


def _below_one(x: Any) -> bool:
    return bool(0 <= x < 1)


define("lr", "the learning rate", "a number >= 0", _not_negative, "Invalid learning rate")
define("momentum", "how much of the last step is kept", "a number >= 0", _not_negative)
define("dampening", "how much of the new gradient is held back from the momentum")
define(
    "betas",
    "decay rates of the running averages of the gradient and of its square",
    "a pair of numbers in [0, 1)",
    _below_one,
    "Invalid beta parameter at index {index}",
    length=2,
)
define("eps", "what keeps a denominator from zero", ">= 0", _not_negative, "Invalid epsilon value")
define(
    "eps_placement",
    "where eps stands beside the root (the docstring of the rule has the formulas)",
    choices=("outside", "inside", "uncorrected", "floor", "both"),
)
define(
    "convention",
    "whose form of the rule is followed, where papers and libraries differ",
    choices=("torch", "paper", "optax", "tensorflow", "official", "polyak"),
)
define(
    "initial_accumulator_value",
    "where the sum or average of the squared gradients starts",
    "a number >= 0",
    _not_negative,
)
define(
    "lr_inside_momentum",
    "let the learning rate enter the velocity, so that a change of it acts on new gradients only",
    switch=True,
)
define("bias_correction", "undo what averages lack for having started at zero", switch=True)
define(
    "alpha",
    "how much of the average of squares is kept (RMSprop), or the power at which the rate falls "
    "(ASGD)",
    "a number >= 0",
    _not_negative,
)
define("weight_decay", "how strongly parameters are drawn to zero", ">= 0", _not_negative)
define("max_norm", "the longest gradient let through", "> 0, or None", _positive, optional=True)
define("clip_value", "the largest entry let through", "> 0, or None", _positive, optional=True)
define("nesterov", "look ahead along the momentum", switch=True)
define("amsgrad", "never let the second moment shrink", switch=True)
define("maximize", "climb instead of descend", switch=True)
define(
    "decoupled_weight_decay",
    "let weight decay act on the parameters, not through the gradient",
    switch=True,
)


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that points to the name that was probably meant, or lists them all."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose among {', '.join(names)}."


def check(
    call: str, settings: Mapping[str, Any], terms: Mapping[str, Hyperparameter] | None = None
) -> None:
    """Refuse the first setting that lies outside its domain; unknown names are left alone.

    Args:
        call: the name of what was called, for the message.
        settings: hyperparameters by name, as for one parameter group.
        terms: their entries; the glossary's if None.

    Raises:
        ValueError: a value outside its domain, in PyTorch's words.
        TypeError: a value that is not a number.
    """
    for name, value in settings.items():
        entry = (GLOSSARY if terms is None else terms).get(name)
        if entry is None or entry.switch or _is_off(entry, value):
            continue
        if entry.choices:
            _check_choice(call, entry, value)
        elif entry.length > 1:
            _check_several(call, entry, value)
        else:
            _check_number(call, entry, value, entry.complaint)


def _is_off(entry: Hyperparameter, value: Any) -> bool:
    return entry.optional and entry.length == 1 and value is None


def _check_choice(call: str, entry: Hyperparameter, value: Any) -> None:
    if value not in entry.choices:
        named = entry.complaint.format(value=value)
        refused = named if "{value}" in entry.complaint else f"{named}: {value}"
        raise ValueError(
            f"{refused}. In {call}({entry.name}={value!r}), {entry.name} is "
            f"{entry.meaning} and must be {entry.domain}{' or None' if entry.optional else ''}."
        )


def _check_several(call: str, entry: Hyperparameter, values: Any) -> None:
    if not isinstance(values, (tuple, list)) or len(values) != entry.length:
        raise ValueError(f"{call}({entry.name}={values!r}): {entry.name} must be {entry.domain}.")
    for index, value in enumerate(values):
        complaint = entry.complaint.format(index=index, place=index + 1)
        if not (entry.optional and value is None):
            _check_number(call, entry, value, complaint, values)


def _check_number(
    call: str, entry: Hyperparameter, value: Any, complaint: str, written: Any = None
) -> None:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(
            f"Tensor {entry.name} must be 1-element; "
            f"{call} was given one of shape {tuple(value.shape)}."
        )
    if not isinstance(value, (Real, Tensor)):
        raise TypeError(f"{call}({entry.name}={value!r}): {entry.name} must be {entry.domain}.")
    if not entry.holds(value):
        shown = value if written is None else written
        raise ValueError(
            f"{complaint}: {value}. In {call}({entry.name}={shown}), {entry.name} is "
            f"{entry.meaning} and must be {entry.domain}."
        )
