"""PyTorch's own test machinery for LBFGS, run on our class of that name.

`torch.testing._internal.common_optimizers.optim_db` describes PyTorch's LBFGS for its tests:
settings worth trying, calls that must fail and with which message. Here the entry is taken over
with our class, and the demands that PyTorch's `TestOptimRenewed` makes of an optimizer with a
closure are made of it. Methods have PyTorch's names where PyTorch tests the same thing.
"""

# ruff: noqa: PT009  (the machinery compares with assertEqual, which knows tensors)

import copy
import inspect
import io
import warnings

import torch
from torch.nn import Parameter

from thalweg.minimize import LBFGS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)  # it says that hypothesis is not installed
    from torch.testing._internal.common_device_type import instantiate_device_type_tests
    from torch.testing._internal.common_optimizers import optim_db, optims
    from torch.testing._internal.common_utils import TestCase

OURS = [copy.copy(info) for info in optim_db if info.name == "LBFGS"]
for entry in OURS:
    entry.theirs, entry.optim_cls = entry.optim_cls, LBFGS

EXACT = {"rtol": 0, "atol": 0}
on_lbfgs = optims(OURS, dtypes=[torch.float64])


def settings_of(info, device):
    """The settings that PyTorch tries, each a fresh copy."""
    return [copy.deepcopy(given.kwargs) for given in info.optim_inputs_func(device=device)]


def problem(device, dtype=torch.float64, contiguous=True):
    """PyTorch's: a linear map, its bias and its input; the loss is the square of what comes out."""
    source = torch.Generator().manual_seed(0)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    made = [torch.randn(s, generator=source, dtype=wide) for s in ((5, 10), (5,), (10,))]
    weight, bias, inputs = (x.to(device, dtype) for x in made)
    if not contiguous:
        weight = weight.T.contiguous().T
    return [Parameter(weight), Parameter(bias)], inputs


def closure_of(optimizer, params, inputs):
    """PyTorch's closure."""

    def closure():
        optimizer.zero_grad()
        loss = (params[0].mv(inputs) + params[1]).abs().pow(2).sum()
        loss.backward()
        return loss

    return closure


class TestOptimRenewed(TestCase):
    """The names of PyTorch's tests."""

    def run_some(self, optimizer, params, inputs, steps=3):
        closure = closure_of(optimizer, params, inputs)
        return [float(optimizer.step(closure)) for _ in range(steps)]

    @on_lbfgs
    def test_errors(self, device, dtype, optim_info):
        for case in optim_info.optim_error_inputs_func(device=device, dtype=dtype):
            given = case.optimizer_error_input
            params = problem(device)[0] if given.params is None else given.params
            warns = issubclass(case.error_type, Warning)
            check = self.assertWarnsRegex if warns else self.assertRaisesRegex
            with self.subTest(case=given.desc), check(case.error_type, case.error_regex):
                optim_info.optim_cls(params, **given.kwargs)

    @on_lbfgs
    def test_forloop_goes_right_direction(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            for contiguous in (True, False):
                params, inputs = problem(device, contiguous=contiguous)
                losses = self.run_some(optim_info.optim_cls(params, **settings), params, inputs)
                self.assertLess(losses[-1], losses[0])

    @on_lbfgs
    def test_state_dict_deterministic(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            params, inputs = problem(device)
            optimizer = optim_info.optim_cls(params, **settings)
            self.run_some(optimizer, params, inputs)
            twins = [Parameter(p.detach().clone()) for p in params]
            other = optim_info.optim_cls(twins, **settings)
            other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            self.run_some(optimizer, params, inputs)
            self.run_some(other, twins, inputs)
            self.assertEqual(twins, params, **EXACT)

    @on_lbfgs
    def test_save_load_equality_with_weights_only(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            params, inputs = problem(device)
            optimizer = optim_info.optim_cls(params, **settings)
            self.run_some(optimizer, params, inputs)
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            self.assertEqual(torch.load(file, weights_only=True), optimizer.state_dict(), **EXACT)

    @on_lbfgs
    def test_complex_2d(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            whole, inputs = problem(device, torch.complex128)
            halves = [Parameter(torch.view_as_real(p.detach()).clone()) for p in whole]
            seen = [torch.view_as_complex(p) for p in halves]
            one = optim_info.optim_cls(whole, **settings)
            two = optim_info.optim_cls(halves, **settings)

            def of_halves(two=two, halves=halves, seen=seen, inputs=inputs):
                two.zero_grad()
                seen[:] = [torch.view_as_complex(p) for p in halves]
                loss = (seen[0].mv(inputs) + seen[1]).abs().pow(2).sum()
                loss.backward()
                return loss

            for _ in range(3):
                one.step(closure_of(one, whole, inputs))
                two.step(of_halves)
                self.assertEqual([torch.view_as_real(p) for p in whole], halves)

    @on_lbfgs
    def test_tensor_lr(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            ends, lr = [], float(settings.get("lr", 1e-2))
            for given in (lr, torch.tensor(lr, dtype=torch.float64)):
                params, inputs = problem(device)
                optimizer = optim_info.optim_cls(params, **{**settings, "lr": given})
                self.run_some(optimizer, params, inputs)
                ends.append(params)
                self.assertEqual(float(given), lr)
            self.assertEqual(ends[1], ends[0])

    @on_lbfgs
    def test_step_is_noop_when_params_have_no_grad(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            params, _ = problem(device)
            optim_info.optim_cls(params, **settings).step(lambda: torch.tensor([1.0]))
            self.assertEqual(params, problem(device)[0], **EXACT)

    @on_lbfgs
    def test_step_is_noop_for_zero_grads(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            params, _ = problem(device)

            def closure(params=params):
                for p in params:
                    p.grad = torch.zeros_like(p)
                return torch.tensor([1.0])

            optim_info.optim_cls(params, **settings).step(closure)
            self.assertEqual(params, problem(device)[0], **EXACT)

    @on_lbfgs
    def test_deepcopy_copies_all_public_attrs(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            params, inputs = problem(device)
            optimizer = optim_info.optim_cls(params, **settings)
            self.run_some(optimizer, params, inputs)
            public = {name for name in vars(optimizer) if not name.startswith("_")}
            twin = copy.deepcopy(optimizer)
            self.assertEqual({name for name in vars(twin) if not name.startswith("_")}, public)
            self.assertEqual(twin.state_dict(), optimizer.state_dict(), **EXACT)

    @on_lbfgs
    def test_optimizer_can_be_printed(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            shown = repr(optim_info.optim_cls(problem(device)[0], **settings))
            for name in settings:
                self.assertIn(f"{name}: ", shown)

    @on_lbfgs
    def test_defaults_are_torchs(self, device, dtype, optim_info):
        ours, theirs = (
            cls(problem(device)[0]).defaults for cls in (optim_info.optim_cls, optim_info.theirs)
        )
        self.assertEqual({name: ours[name] for name in theirs if name != "differentiable"}, theirs)

    @on_lbfgs
    def test_arguments_by_position_are_torchs(self, device, dtype, optim_info):
        ours, theirs = (
            list(inspect.signature(cls).parameters)
            for cls in (optim_info.optim_cls, optim_info.theirs)
        )
        self.assertEqual(ours[: len(theirs)], theirs)


instantiate_device_type_tests(TestOptimRenewed, globals(), only_for=("cpu", "cuda"))
