"""PyTorch's test machinery, and its table of optimizers with our classes in it."""

import copy
import functools
import inspect
import warnings

import torch
from torch.nn import Parameter

from thalweg.optim import OPTIMIZERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)  # it says that hypothesis is not installed
    from torch.testing._internal.common_device_type import instantiate_device_type_tests
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db, optims
    from torch.testing._internal.common_utils import TestCase

__all__ = ["OptimizerErrorEnum", "TestCase", "instantiate_device_type_tests"]

STEPS = 7  # RAdam rectifies from the sixth on


def with_our_class(info):
    """PyTorch's entry for an optimizer, with our class in it."""
    ours = copy.copy(info)
    ours.optim_cls = OPTIMIZERS[info.name.lower()]
    ours.theirs = info.optim_cls
    return ours


OURS = [with_our_class(info) for info in optim_db if info.name.lower() in OPTIMIZERS]

# What PyTorch refuses because its implementations cannot do it, and ours can. (foreach and fused
# are carried along for PyTorch's sake and decide nothing here.)
OURS_CAN = {
    "lr as a Tensor is not supported for capturable=False and foreach=True",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True",
    "betas must be either both floats or both Tensors",
    "SparseAdam does not support complex parameters",
}

SWITCHES = {"foreach", "capturable", "differentiable", "maximize"}

on_all = optims(OURS, dtypes=[torch.float64])


def settings_of(info, device):
    """The settings that PyTorch tries, each a fresh copy."""
    return [copy.deepcopy(given.kwargs) for given in info.optim_inputs_func(device=device)]


def params_of(device, dtype=torch.float64, seed=0):
    """Two matrices, because Muon takes nothing else; one is large for the engine."""
    source = torch.Generator().manual_seed(seed)
    shapes = ((3, 4), (50, 70))
    wide = torch.complex128 if dtype.is_complex else torch.float64
    made = (torch.randn(shape, generator=source, dtype=wide) for shape in shapes)
    return [Parameter(x.to(device, dtype)) for x in made]


def set_gradients(info, params, seed):
    """Gradients of a kind that the optimizer takes."""
    wide = torch.complex128 if params[0].is_complex() else torch.float64
    for p, made in zip(params, params_of(params[0].device, wide, seed + 1), strict=True):
        gradient = made.detach().to(p.dtype)
        p.grad = gradient.to_sparse() if info.only_supports_sparse_grads else gradient


def run(info, optimizer, params, steps=STEPS, first=0):
    """Some steps on made gradients."""
    for step in range(first, first + steps):
        set_gradients(info, params, step)
        optimizer.step()
    return [p.detach().clone() for p in params]


def their_loop(info, params, settings):
    """PyTorch's optimizer in its plain form: one parameter after the other."""
    switched = {"foreach": False} if "foreach" in info.supported_impls else {}
    return info.theirs(params, **settings, **switched)


def relay(info, params, *makes):
    """Two steps by each optimizer, on the same parameters and the state of the one before."""
    saved = None
    for leg, make in enumerate(makes):
        optimizer = make(params)
        if saved is not None:
            optimizer.load_state_dict(saved)
        run(info, optimizer, params, steps=2, first=2 * leg)
        saved = copy.deepcopy(optimizer.state_dict())
        if info.name == "SparseAdam":  # counts in an int; given a tensor it reckons in float32
            for own in saved["state"].values():
                own["step"] = int(own["step"])
    return [p.detach() for p in params]


def onwards(schedulers, loss):
    """Step every scheduler after a step."""
    for scheduler in schedulers:
        takes_loss = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        scheduler.step(loss) if takes_loss else scheduler.step()


def rosenbrock(place):
    """A curved valley with its minimum, 0, at (1, 1)."""
    x, y = place
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def placed(cls):
    """The arguments that may be given by position, in order."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def for_each_setting(test):
    """Run a test for all settings of PyTorch's table; a failure tells which."""

    @functools.wraps(test)
    def every(self, device, dtype, optim_info):
        for given in optim_info.optim_inputs_func(device=device):
            with self.subTest(settings=given.desc):
                test(self, device, dtype, optim_info, copy.deepcopy(given.kwargs))

    return every
