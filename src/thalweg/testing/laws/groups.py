"""Parameter groups and their settings, and who may move them."""

from __future__ import annotations

import torch

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import (
    demand,
    must_agree,
    must_be_equal,
    must_differ,
    must_stay,
    needs,
    refusal,
)
from thalweg.testing.subject import Subject, every_parameter, values


def rate(subject: Subject) -> float:
    """The learning rate of the settings under test."""
    optimizer = subject.build(subject.parameters())
    if "lr" not in optimizer.param_groups[0]:
        raise NotApplicable("its groups have no lr")
    return float(optimizer.param_groups[0]["lr"])


@law
def groups_have_settings_of_their_own(subject: Subject) -> None:
    """A setting given to a group acts on that group as it would if it were the default.

    Layers get learning rates and decays of their own by groups.
    """
    lr = rate(subject)
    _acts_by_group(subject, "lr", lr, lr / 3)
    if subject.takes("weight_decay"):
        _acts_by_group(subject, "weight_decay", 0.0, 0.5)


def _acts_by_group(subject: Subject, name: str, one: float, other: float) -> None:
    by_group = _ends_in_groups(subject, {name: one}, {}, {name: other})
    by_default = _ends_in_groups(subject, {name: other}, {name: one}, {})
    alike = _ends_in_groups(subject, {name: one}, {}, {})
    must_agree(by_group, by_default, subject.starts[:2], f"{name} of a group against the default")
    must_differ(by_group[1:], alike[1:], f"{name} of a group does nothing")


def _ends_in_groups(
    subject: Subject, defaults: dict[str, float], *own: dict[str, float]
) -> list[torch.Tensor]:
    """Where two parameters end that are in groups with settings of their own."""
    params = subject.parameters(subject.starts[:2])
    groups = [{"params": [p], **settings} for p, settings in zip(params, own, strict=True)]
    try:
        optimizer = subject.build(groups, **defaults)
    except ValueError as error:
        raise NotApplicable(refusal(error, "group", "per-parameter")) from None
    return subject.run(optimizer, params)


@law
def group_added_later(subject: Subject) -> None:
    """`add_param_group` in mid-run leaves the others alone and starts the new ones afresh.

    Layers are unfrozen one after the other.
    """
    first, added = subject.parameters()[:2]
    optimizer = subject.build([first])
    subject.run(optimizer, [first])
    try:
        optimizer.add_param_group({"params": [added]})
    except (ValueError, NotImplementedError) as error:
        raise NotApplicable(refusal(error, "group", "per-parameter")) from None
    missing = sorted(optimizer.defaults.keys() - optimizer.param_groups[-1].keys())
    demand(not missing, f"the new group lacks {', '.join(missing)}")
    for at in range(subject.steps, 2 * subject.steps):
        subject.step(optimizer, subject.gradients([first, added], at))
    must_differ(values([added]), subject.starts[1:2], "the added parameter does not move")
    if not subject.coupled:
        _each_as_alone(subject, values([first, added]))


def _each_as_alone(subject: Subject, found: list[torch.Tensor]) -> None:
    for place, begin in ((0, 0), (1, subject.steps)):
        start = [subject.starts[place]]
        (p,) = subject.parameters(start)
        alone = subject.build([p])
        for at in range(begin, 2 * subject.steps):
            subject.step(alone, {p: subject.gradient(p, 100 * at + place)})
        who = ("the parameter of old", "the added parameter")[place]
        must_agree([found[place]], values([p]), start, who)


@law
def zero_rate(subject: Subject) -> None:
    """At `lr=0` nothing moves (with weight decay off).

    Warm-up starts at zero, and zero freezes a group.
    """
    rate(subject)
    off = {"weight_decay": 0.0} if subject.takes("weight_decay") else {}
    params = subject.parameters()
    try:
        optimizer = subject.build(params, lr=0.0, **off)
    except ValueError as error:
        raise NotApplicable(refusal(error, "learning rate", "lr")) from None
    ends, starts = subject.run(optimizer, params), subject.starts
    must_agree(ends, starts, starts, "at lr=0, a parameter moved")


@law
def rate_acts_at_once(subject: Subject) -> None:
    """A learning rate set between two steps acts on the next one.

    Schedules are read off against steps; a rate that is cached acts late or never.
    """
    lr = rate(subject)
    ends = []
    for factor in (1.0, 0.25):
        optimizer, params = subject.started()
        for group in optimizer.param_groups:
            group["lr"] = factor * lr
        ends.append(subject.run(optimizer, params, steps=1, first=subject.steps))
    must_differ(ends[0], ends[1], "a quarter of the rate made no difference to the next step")


@law
def tensor_rate(subject: Subject) -> str | None:
    """`lr` may be a tensor of one element, which is only read, or is refused by name.

    A compiled step takes the rate as a tensor, so that a schedule does not compile it anew.
    """
    lr = torch.tensor(rate(subject))
    params = subject.parameters()
    try:
        found = subject.run(subject.build(params, lr=lr), params)
    except Exception as error:  # whatever the optimizer under test raises
        must_stay(params, subject.starts, "parameters moved before the rate was refused")
        return refusal(error, "tensor")
    demand(float(lr) == float(torch.tensor(rate(subject))), "the tensor was written to")
    must_agree(
        found, subject.ends(lr=float(lr)), subject.starts, "with lr as a tensor, a parameter"
    )
    return None


@law
def weight_decay_acts(subject: Subject) -> None:
    """Weight decay, if there is such an argument, leads nearer to zero.

    An argument that is accepted and ignored, or that acts with the wrong sign, is worse than none.
    """
    needs(subject, "weight_decay")
    with_decay, without = (subject.ends(weight_decay=w) for w in (0.5, 0.0))
    must_differ(with_decay, without, "weight_decay=0.5 made no difference")
    sizes = [float(sum(x.abs().sum() for x in end)) for end in (with_decay, without)]
    demand(sizes[0] < sizes[1], "weight_decay=0.5 led away from zero")


@law
def named_parameters(subject: Subject) -> None:
    """`named_parameters()` is accepted; names are kept in the groups and change nothing else.

    Names tell in a saved state which parameter is which.
    """
    params = subject.parameters()
    names = [f"layer.{place}" for place in range(len(params))]
    optimizer = subject.build(list(zip(names, params, strict=True)))
    kept = optimizer.param_groups[0].get("param_names")
    demand(kept == names, f"param_names of the group are {kept}")
    saved = optimizer.state_dict()["param_groups"][0].get("param_names")
    demand(saved == names, f"param_names of the saved group are {saved}")
    held = [p is q for p, q in zip(every_parameter(optimizer), params, strict=True)]
    demand(all(held), "the groups hold other tensors")
    must_be_equal(subject.run(optimizer, params), subject.ends(), "with names, a parameter")
