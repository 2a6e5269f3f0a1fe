"""The state: saved, loaded, copied, pickled, exchanged; a run must go on as if nothing had been."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.testing.contract import NotApplicable, law
from thalweg.testing.demands import demand, must_be_equal, must_differ, must_stay
from thalweg.testing.subject import Subject, every_parameter, values

SETTINGS = (bool, float, int, str, tuple, Tensor)  # what a hyperparameter is


@law
def state_in_memory(subject: Subject) -> None:
    """A fresh optimizer with the state of another continues its run, bit for bit.

    Whatever is remembered outside `state_dict` is lost when a run is resumed.
    """
    _resumes(subject, copy.deepcopy)


@law
def state_in_a_file(subject: Subject) -> None:
    """A run continues bit for bit from a file that is read with `weights_only=True`.

    That is how `torch.load` reads checkpoints; objects of other classes are refused.
    """

    def through_a_file(state: Any) -> Any:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    _resumes(subject, through_a_file)


def _resumes(subject: Subject, passed_on: Callable[[Any], Any]) -> None:
    optimizer, params = subject.started()
    for group in optimizer.param_groups:
        group.update({"lr": group["lr"] / 2} if "lr" in group else {})
    twins: list[Tensor] = list(subject.parameters(values(params)))
    other = subject.build(twins)
    other.load_state_dict(passed_on(optimizer.state_dict()))
    for group, loaded in zip(optimizer.param_groups, other.param_groups, strict=True):
        plain = [name for name in optimizer.defaults if isinstance(group[name], SETTINGS)]
        lost = [name for name in plain if not _alike(group[name], loaded.get(name))]
        demand(not lost, f"{', '.join(lost)} of a group was not loaded")
    expected = subject.goes_on(optimizer, params)
    must_be_equal(subject.goes_on(other, twins), expected, "the run that was resumed")


def _alike(one: Any, other: Any) -> bool:
    """Equal settings; they may be tensors."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(one == other)


@law
def state_rewinds(subject: Subject) -> str:
    """A deep copy of `state_dict` and of the parameters brings the same optimizer back to it.

    Going back to the best epoch, or before a spike, must not leave traces of what was after.
    """
    optimizer, params = subject.started()
    live = list(state_tensors(optimizer.state_dict()))
    saved, there = copy.deepcopy(optimizer.state_dict()), values(params)
    snapshot = [x.clone() for x in live]
    once = subject.goes_on(optimizer, params)
    with torch.no_grad():
        for p, value in zip(params, there, strict=True):
            p.copy_(value)
    moved = any(not torch.equal(a, b) for a, b in zip(live, snapshot, strict=True))
    optimizer.load_state_dict(saved)
    must_be_equal(subject.goes_on(optimizer, params), once, "the run that was taken back")
    return "state_dict() holds the live tensors: deep-copy to keep them" if moved else ""


def state_tensors(saved: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors of a `state_dict`, by position and name."""
    for own in saved["state"].values():
        yield from (x for x in own.values() if isinstance(x, Tensor))


@law
def state_keeps_its_type(subject: Subject) -> None:
    """Loading gives every state tensor the type and the value that it was saved with.

    PyTorch's loader casts state to the parameter's type: the 32-bit state of a 16-bit parameter
    loses its digits at every resume (pytorch#43706).
    """
    starts = [x.to(torch.bfloat16) for x in subject.starts if not x.is_complex()]
    params = subject.parameters(starts)
    try:
        optimizer = subject.build(params)
        subject.run(optimizer, params)
    except Exception as error:  # `every-floating-type` judges how this is refused
        raise NotApplicable(f"takes no bfloat16 parameters ({type(error).__name__})") from None
    saved = copy.deepcopy(optimizer.state_dict())
    other = subject.build(subject.parameters(starts))
    other.load_state_dict(copy.deepcopy(saved))
    for before, after in zip(state_tensors(saved), state_tensors(other.state_dict()), strict=True):
        demand(before.dtype == after.dtype, f"{before.dtype} was loaded as {after.dtype}")
        must_be_equal([after], [before], "a state tensor")


@law
def state_is_packed(subject: Subject) -> None:
    """`state_dict()` maps positions of parameters to their states, and holds nothing else.

    Sharded checkpoints, and all who read or merge states, rely on this form.
    """
    optimizer, params = subject.started()
    saved = optimizer.state_dict()
    places = [place for group in saved["param_groups"] for place in group["params"]]
    demand(places == list(range(len(params))), f"the groups' params are {places}")
    strangers = [key for key in saved["state"] if key not in places]
    demand(not strangers, f"state has the keys {strangers} besides positions of parameters")
    kinds = {type(own).__name__ for own in saved["state"].values()} - {"dict"}
    demand(not kinds, f"a parameter's state is a {', '.join(kinds)}, not a dict")


@law
def state_is_swapped_in(subject: Subject) -> None:
    """`torch.optim.swap_in_optimizer_params_and_state` can lend it other parameters and state.

    Tracing a step into a graph is done on lent tensors; the optimizer's own must not notice.
    """
    swap = getattr(torch.optim, "swap_in_optimizer_params_and_state", None)
    if swap is None:
        raise NotApplicable(f"PyTorch {torch.__version__} cannot do that")
    optimizer, params = subject.started()
    if not optimizer.state:
        raise NotApplicable("it has no state")
    lent = {str(place): p for place, p in enumerate(subject.parameters(values(params)))}
    kept = values(params)
    with swap(optimizer, lent, copy.deepcopy(optimizer.state_dict())):
        on_lent = subject.goes_on(optimizer, list(lent.values()))
    must_stay(params, kept, "the optimizer's own parameters moved")
    must_be_equal(subject.goes_on(optimizer, params), on_lent, "on its own parameters")


@law
def deep_copy(subject: Subject) -> None:
    """A deep copy goes on as the original would, on copies of the parameters.

    Evaluations, look-ahead searches and tests train copies.
    """
    _goes_its_own_way(subject, copy.deepcopy)


@law
def pickling(subject: Subject) -> None:
    """A pickled optimizer goes on as the original would, on copies of the parameters.

    Objects travel to other processes this way.
    """
    cls = type(subject.build(subject.parameters()))
    if getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is not cls:
        raise NotApplicable(f"pickle finds no {cls.__qualname__} in {cls.__module__}")
    _goes_its_own_way(subject, lambda optimizer: pickle.loads(pickle.dumps(optimizer)))


def _goes_its_own_way(subject: Subject, copied: Callable[[Optimizer], Optimizer]) -> None:
    optimizer, params = subject.started()
    before = values(params)
    twin = copied(optimizer)
    demand(type(twin) is type(optimizer), f"the copy is a {type(twin).__name__}")
    ends = subject.goes_on(twin, every_parameter(twin))
    must_differ(ends, before, "the copy does not move its parameters")
    must_stay(params, before, "stepping the copy moved the original's parameters")
    must_be_equal(subject.goes_on(optimizer, params), ends, "original and copy")
