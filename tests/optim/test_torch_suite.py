"""PyTorch's own test machinery, run on our classes.

`torch.testing._internal.common_optimizers.optim_db` describes each of PyTorch's optimizers for its
tests: settings worth trying, calls that must fail and with which message, schedulers, what is
supported. Here every entry whose optimizer we have is taken over with our class in the place of
PyTorch's, and the demands that PyTorch's `TestOptimRenewed` makes are made of it. The class below
has that name too, so that the exceptions that PyTorch's entries declare, with their reasons, hold
here as well. On a machine with CUDA everything runs there besides.
"""

# ruff: noqa: PT009  (the machinery compares with assertEqual, which knows tensors)

import copy
import functools
import io

import torch
from beside_pytorch import EXACT, nearness
from torch.nn import Parameter
from torch_suite_cases import (
    OURS,
    OURS_CAN,
    STEPS,
    SWITCHES,
    OptimizerErrorEnum,
    TestCase,
    for_each_setting,
    instantiate_device_type_tests,
    on_all,
    onwards,
    optims,
    params_of,
    placed,
    relay,
    rosenbrock,
    run,
    set_gradients,
    settings_of,
    their_loop,
)


class TestOptimRenewed(TestCase):
    """Methods have PyTorch's names where PyTorch tests the same thing."""

    @on_all
    def test_errors(self, device, dtype, optim_info):
        for case in optim_info.optim_error_inputs_func(device=device, dtype=dtype):
            given = case.optimizer_error_input
            with self.subTest(case=given.desc):
                if case.error_regex in OURS_CAN:
                    self.takes(optim_info, given, device, dtype)
                else:
                    self.refuses(optim_info, case, device, dtype)

    def takes(self, info, given, device, dtype):
        params = params_of(device, dtype) if given.params is None else given.params
        before = copy.deepcopy(params)
        optimizer = info.optim_cls(params, **copy.deepcopy(given.kwargs))
        for p in params:
            gradient = torch.ones_like(p)
            p.grad = gradient.to_sparse() if info.only_supports_sparse_grads else gradient
        optimizer.step()
        self.assertNotEqual(params, before)

    def refuses(self, info, case, device, dtype):
        given = case.optimizer_error_input
        params = params_of(device, dtype) if given.params is None else given.params
        build = functools.partial(info.optim_cls, params, **given.kwargs)
        if case.error_on is OptimizerErrorEnum.STEP_ERROR:
            optimizer = build()
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = torch.ones_like(p)
            build = optimizer.step
        warns = isinstance(case.error_type, type) and issubclass(case.error_type, Warning)
        check = self.assertWarnsRegex if warns else self.assertRaisesRegex
        with check(case.error_type, case.error_regex):
            build()

    @on_all
    def test_forloop_goes_right_direction(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            for schedulers in optim_info.scheduler_inputs:
                for contiguous in (True, False):
                    with self.subTest(settings=settings, contiguous=contiguous):
                        self.goes_right(optim_info, device, settings, schedulers, contiguous)

    def goes_right(self, info, device, settings, schedulers, contiguous):
        source = torch.Generator().manual_seed(0)
        weight, bias = (
            torch.randn(shape, generator=source).to(device) for shape in ((5, 10), (5, 1))
        )
        if not contiguous:
            weight = weight.T.contiguous().T
        params = [Parameter(weight), Parameter(bias)]
        inputs = torch.randn(10, 1, generator=source).to(device)
        optimizer = info.optim_cls(params, **copy.deepcopy(settings))
        plans = [make(optimizer) for make in schedulers]
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = (params[0] @ inputs + params[1]).pow(2).sum()
            loss.backward()
            if info.only_supports_sparse_grads:
                for p in params:
                    p.grad = p.grad.to_sparse()
            losses.append(loss.item())
            optimizer.step()
            onwards(plans, losses[-1])
        if settings.get("maximize"):
            self.assertGreater(losses[-1], losses[0])
        else:
            self.assertLess(losses[-1], losses[0])

    @optims(OURS, dtypes=[torch.float64, torch.float32])
    @for_each_setting
    def test_every_form_matches_forloop(self, device, dtype, optim_info, settings):
        theirs = params_of(device, dtype)
        expected = run(optim_info, their_loop(optim_info, theirs, settings), theirs)
        for form in ("auto", "each", "together", "blocks"):
            ours = params_of(device, dtype)
            try:
                optimizer = optim_info.optim_cls(ours, form=form, **copy.deepcopy(settings))
            except ValueError as refused:
                self.assertIn("not declared pointwise", str(refused))
                continue
            nearly = nearness(optim_info.name, dtype)
            self.assertEqual(run(optim_info, optimizer, ours), expected, **nearly, msg=form)

    @on_all
    @for_each_setting
    def test_state_dict_deterministic(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        run(optim_info, optimizer, params, steps=3)
        twins = [Parameter(p.detach().clone()) for p in params]
        other = optim_info.optim_cls(twins, **settings)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for first in range(3, 6):
            ends = [
                run(optim_info, o, ps, steps=1, first=first)
                for o, ps in ((optimizer, params), (other, twins))
            ]
            self.assertEqual(*ends, **EXACT)
            self.assertEqual(optimizer.state_dict(), other.state_dict(), **EXACT)

    # In float32: in other types PyTorch's loader casts the numbers that NAdam and ASGD keep.
    @optims(OURS, dtypes=[torch.float32])
    @for_each_setting
    def test_state_passes_to_torch_and_back(self, device, dtype, optim_info, settings):
        ours = functools.partial(optim_info.optim_cls, **settings)
        theirs = functools.partial(their_loop, optim_info, settings=settings)
        never = params_of(device, dtype)
        expected = run(optim_info, theirs(never), never, steps=6)
        for makes in ((ours, theirs, ours), (theirs, ours, theirs)):
            end = relay(optim_info, params_of(device, dtype), *makes)
            self.assertEqual(end, expected, **nearness(optim_info.name, dtype))

    @on_all
    @for_each_setting
    def test_save_load_equality_with_weights_only(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        run(optim_info, optimizer, params, steps=2)
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        self.assertEqual(torch.load(file, weights_only=True), optimizer.state_dict(), **EXACT)

    @on_all
    @for_each_setting
    def test_can_load_older_state_dict(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        run(optim_info, optimizer, params, steps=2)
        older = copy.deepcopy(optimizer.state_dict())
        for group in older["param_groups"]:
            for flag in optim_info.not_og_supported_flags:
                group.pop(flag, None)
        optimizer.load_state_dict(older)
        run(optim_info, optimizer, params, steps=2)

    @on_all
    @for_each_setting
    def test_load_nontensor_step(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        run(optim_info, optimizer, params, steps=2)
        older = copy.deepcopy(optimizer.state_dict())
        for own in older["state"].values():
            if torch.is_tensor(own.get("step")):
                own["step"] = own["step"].item()
        optimizer.load_state_dict(copy.deepcopy(older))
        expected = copy.deepcopy(params)
        other = optim_info.optim_cls(expected, **settings)
        other.load_state_dict(copy.deepcopy(older))
        ends = [run(optim_info, o, ps) for o, ps in ((optimizer, params), (other, expected))]
        self.assertEqual(*ends, **EXACT)

    @optims([o for o in OURS if o.supports_complex], dtypes=[torch.complex128])
    @for_each_setting
    def test_complex_2d(self, device, dtype, optim_info, settings):
        whole = params_of(device, dtype)
        halves = [Parameter(torch.view_as_real(p.detach()).clone()) for p in whole]
        optimizers = [optim_info.optim_cls(ps, **copy.deepcopy(settings)) for ps in (whole, halves)]
        for step in range(STEPS):
            set_gradients(optim_info, whole, step)
            for p, half in zip(whole, halves, strict=True):
                half.grad = torch.view_as_real(p.grad).clone()
            for optimizer in optimizers:
                optimizer.step()
            self.assertEqual([torch.view_as_real(p) for p in whole], halves, **EXACT)

    @optims([o for o in OURS if o.supports_sparse], dtypes=[torch.float64])
    def test_rosenbrock_sparse(self, device, dtype, optim_info):
        settings, schedulers = optim_info.metadata_for_sparse
        ends = []
        for make, sparse in (
            (optim_info.optim_cls, True),
            (optim_info.optim_cls, False),
            (optim_info.theirs, True),
        ):
            place = Parameter(torch.tensor([1.5, 1.5], device=device, dtype=dtype))
            optimizer = make([place], **settings)
            plans = [plan(optimizer) for plan in schedulers]
            for step in range(200):
                optimizer.zero_grad()
                rosenbrock(place).backward()
                place.grad[step % 2] = 0.0  # one coordinate at a time
                place.grad = place.grad.to_sparse() if sparse else place.grad
                optimizer.step()
                onwards(plans, 1.0)
            ends.append(place.detach())
        self.assertLess(rosenbrock(ends[0]), 1.0)  # from 56.5
        self.assertEqual(ends[0], ends[1], **EXACT)
        self.assertEqual(ends[0], ends[2], **EXACT)

    @on_all
    @for_each_setting
    def test_step_is_noop_when_params_have_no_grad(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        optimizer.step()
        self.assertEqual(params, params_of(device), **EXACT)

    @on_all
    @for_each_setting
    def test_step_is_noop_for_zero_grads(self, device, dtype, optim_info, settings):
        if settings.get("weight_decay"):
            settings["weight_decay"] = 0.0
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **self.without_decay(optim_info, settings))
        for p in params:
            p.grad = torch.zeros_like(p)
            p.grad = p.grad.to_sparse() if optim_info.only_supports_sparse_grads else p.grad
        optimizer.step()
        self.assertEqual(params, params_of(device), **EXACT)

    def without_decay(self, info, settings):
        decays = info.optim_cls(params_of("cpu")).defaults.get("weight_decay")
        return {**settings, "weight_decay": 0.0} if decays else settings

    @on_all
    @for_each_setting
    def test_grads_are_never_inplaced_into(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        for step in range(3):
            set_gradients(optim_info, params, step)
            kept = [(p.grad, p.grad._version, p.grad.clone()) for p in params]
            optimizer.step()
            for p, (gradient, version, copied) in zip(params, kept, strict=True):
                self.assertIs(p.grad, gradient)
                self.assertEqual(gradient._version, version)
                self.assertEqual(gradient, copied, **EXACT)

    @on_all
    def test_param_groups_lr(self, device, dtype, optim_info):
        for settings in settings_of(optim_info, device):
            settings["lr"] = 0.0  # where no group says otherwise
            still, moved = params_of(device)
            groups = [{"params": [still]}, {"params": [moved], "lr": 0.1}]
            if optim_info.only_supports_sparse_grads:  # it refuses a rate of zero
                continue
            optimizer = optim_info.optim_cls(groups, **settings)
            run(optim_info, optimizer, [still, moved], steps=1)
            before = params_of(device)
            self.assertNotEqual(moved, before[1])
            if optim_info.name != "Rprop":  # its rate is the first step's size, kept above 1e-6
                self.assertEqual(still, before[0], **EXACT)

    @on_all
    def test_param_groups_weight_decay(self, device, dtype, optim_info):
        if "weight_decay" not in optim_info.optim_cls(params_of(device)).defaults:
            return
        for settings in settings_of(optim_info, device):
            settings["weight_decay"] = 0.0
            plain, decayed = params_of(device)
            groups = [{"params": [plain]}, {"params": [decayed], "weight_decay": 0.9}]
            ends = run(optim_info, optim_info.optim_cls(groups, **settings), [plain, decayed])
            without = params_of(device)
            optimizer = optim_info.optim_cls(without, **settings)
            expected = run(optim_info, optimizer, without)
            self.assertEqual(ends[0], expected[0], **EXACT)
            self.assertLess(ends[1].abs().sum(), expected[1].abs().sum())

    @on_all
    @for_each_setting
    def test_tensor_lr(self, device, dtype, optim_info, settings):
        ends = []
        lr = float(settings.get("lr", 1e-2))
        for given in (lr, torch.tensor(lr, dtype=torch.float64), torch.tensor([lr]).double()):
            params = params_of(device)
            optimizer = optim_info.optim_cls(params, **{**settings, "lr": given})
            ends.append(run(optim_info, optimizer, params))
            self.assertEqual(float(given), lr)
        self.assertEqual(ends[1], ends[0])
        self.assertEqual(ends[2], ends[0])

    @on_all
    @for_each_setting
    def test_mixed_device_dtype(self, device, dtype, optim_info, settings):
        types = (torch.float32, torch.float64)
        alone = [params_of(device, each) for each in types]
        expected = [
            run(optim_info, optim_info.optim_cls(ps, **copy.deepcopy(settings)), ps)[place]
            for place, ps in enumerate(alone)
        ]
        mixed = [params_of(device, each)[place] for place, each in enumerate(types)]
        optimizer = optim_info.optim_cls(mixed, **settings)
        self.assertEqual(run(optim_info, optimizer, mixed), expected, **EXACT)

    @on_all
    @for_each_setting
    def test_deepcopy_copies_all_public_attrs(self, device, dtype, optim_info, settings):
        params = params_of(device)
        optimizer = optim_info.optim_cls(params, **settings)
        run(optim_info, optimizer, params, steps=2)
        public = {name for name in vars(optimizer) if not name.startswith("_")}
        twin = copy.deepcopy(optimizer)
        self.assertEqual({name for name in vars(twin) if not name.startswith("_")}, public)
        self.assertEqual(twin.state_dict(), optimizer.state_dict(), **EXACT)

    @on_all
    @for_each_setting
    def test_optimizer_can_be_printed(self, device, dtype, optim_info, settings):
        shown = repr(optim_info.optim_cls(params_of(device), **settings))
        for name in settings:
            self.assertIn(f"{name}: ", shown)

    @on_all
    def test_defaults_are_torchs(self, device, dtype, optim_info):
        ours, theirs = (
            cls(params_of(device)).defaults for cls in (optim_info.optim_cls, optim_info.theirs)
        )
        self.assertEqual({k: v for k, v in ours.items() if k in theirs}, theirs)

    @on_all
    def test_arguments_by_position_are_torchs(self, device, dtype, optim_info):
        ours, theirs = (placed(cls) for cls in (optim_info.optim_cls, optim_info.theirs))
        self.assertEqual(ours, theirs[: len(ours)])
        # A few of PyTorch's take switches by position, which were put between the others over time.
        self.assertLessEqual(set(theirs[len(ours) :]), SWITCHES)


instantiate_device_type_tests(TestOptimRenewed, globals(), only_for=("cpu", "cuda"))
