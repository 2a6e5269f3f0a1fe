"""Broken optimizers, at least one for each law: `Sound` with a fault that the law is there for."""

import copy
from dataclasses import dataclass

import torch
from sound_optimizer import Sound
from torch.optim import Optimizer


@dataclass(frozen=True)
class Mutant:
    """A broken optimizer, the law that it breaks, and what the report must say of it."""

    law: str
    cls: type[Optimizer]
    said: str


MUTANTS: list[Mutant] = []


def breaks(law, said):
    """Enter a class as the mutant of a law."""

    def enter(cls):
        MUTANTS.append(Mutant(law, cls, said))
        return cls

    return enter


@breaks("gradient-untouched", "p.grad was changed")
class DecaysInTheGradient(Sound):
    def gradient(self, p, group):
        return p.grad.add_(group["weight_decay"] * p) if group["weight_decay"] else p.grad


@breaks("gradient-untouched", "p.grad was written to")
class TurnsTheGradientAndBack(Sound):
    def gradient(self, p, group):
        return super().gradient(p, group) if p.grad.neg_() is p.grad.neg_() else None


@breaks("gradient-untouched", "p.grad is None after the step")
class ForgetsGradients(Sound):
    def advance(self, p, group):
        super().advance(p, group)
        p.grad = None


@breaks("no-gradient-no-change", "a parameter without gradient moved")
class DecaysTheIdle(Sound):
    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
        return super().step(closure)


@breaks("no-gradient-no-change", "the parameter with gradient did not move")
class WaitsForAll(Sound):
    def step(self, closure=None):
        if all(p.grad is not None for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        return self.loss_of(closure)


@breaks("no-gradients-at-all", "raises RuntimeError: stack expects")
class StacksGradients(Sound):
    def step(self, closure=None):
        torch.stack(
            [p.grad.norm() for g in self.param_groups for p in g["params"] if p.grad is not None]
        )
        return super().step(closure)


@breaks("frozen-parameter", "raises AssertionError")
class RefusesTheFrozen(Sound):
    def add_param_group(self, group):
        super().add_param_group(group)
        assert all(p.requires_grad for p in self.param_groups[-1]["params"])


@breaks("late-gradient", "a late parameter's first steps: off by 0.3")
class CountsByGroup(Sound):
    def step(self, closure=None):
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
        return super().step(closure)

    def advance(self, p, group):
        self.state[p] or self.begin(p, self.state[p])
        self.state[p]["step"].fill_(group["count"] - 1)
        super().advance(p, group)


@breaks("maximize-is-the-negated-gradient", "maximize against negated gradients: off by")
class TurnsTheSignTooLate(Sound):
    def gradient(self, p, group):
        g = p.grad + group["weight_decay"] * p + 0.1 * p
        return -g if group["maximize"] else g


@breaks("nan-gradient", "beside a NaN")
class SharesTheNorm(Sound):
    def direction(self, p, group, state):
        ill = any(q.grad is not None and q.grad.isnan().any() for q in group["params"])
        return super().direction(p, group, state) * (torch.nan if ill else 1)


@breaks("nan-gradient", "fails, and does not say why: ZeroDivisionError")
class TripsOverNan(Sound):
    def gradient(self, p, group):
        return super().gradient(p, group) / (1 / p.grad.isfinite().all().float().item())


@breaks("graph-ends-at-the-step", "a state tensor requires grad")
class RemembersTheGraph(Sound):
    def direction(self, p, group, state):
        direction = super().direction(p, group, state)
        with torch.enable_grad():
            state["last"] = p.grad * 1
        return direction


@breaks("sparse-gradient", "fails, and does not say why: RuntimeError: Could not run")
class FailsObscurely(Sound):
    def advance(self, p, group):
        if p.grad.is_sparse:
            raise RuntimeError("Could not run aten::lerp_ with arguments from this backend")
        super().advance(p, group)


@breaks("sparse-gradient", "parameters moved before the gradient was refused")
class RefusesTooLate(Sound):
    def advance(self, p, group):
        p.sub_(group["lr"])
        super().advance(p, group)


@breaks("sparse-gradient", "with sparse gradients, a parameter: off by")
class CountsDuplicateRowsOnce(Sound):
    def advance(self, p, group):
        if p.grad.is_sparse:
            rows, found = p.grad._indices()[0], p.grad._values()
            p.grad = torch.zeros_like(p).index_copy_(0, rows, found)
        super().advance(p, group)


@breaks("groups-have-settings-of-their-own", "lr of a group")
class ReadsTheFirstGroup(Sound):
    def move(self, p, direction, group):
        super().move(p, direction, self.param_groups[0])


@breaks("groups-have-settings-of-their-own", "weight_decay of a group")
class DecaysAsTheFirstGroup(Sound):
    def gradient(self, p, group):
        decay = self.param_groups[0]["weight_decay"]
        return super().gradient(p, {**group, "weight_decay": decay})


@breaks("group-added-later", "the parameter of old: off by")
class MapsGroupsOnce(Sound):
    def add_param_group(self, group):
        super().add_param_group(group)
        if self.state:
            self.state.clear()


@breaks("group-added-later", "the new group lacks beta")
class LeavesGroupsBare(Sound):
    def add_param_group(self, group):
        super().add_param_group(group)
        if len(self.param_groups) > 1:
            del self.param_groups[-1]["beta"]


@breaks("group-added-later", "the added parameter does not move")
class StepsTheFirstGroup(Sound):
    def step(self, closure=None):
        groups, self.param_groups = self.param_groups, self.param_groups[:1]
        loss = super().step(closure)
        self.param_groups = groups
        return loss


@breaks("zero-rate", "at lr=0, a parameter moved")
class HasALeastStep(Sound):
    def move(self, p, direction, group):
        p.sub_(max(group["lr"], 1e-6) * direction)


@breaks("rate-acts-at-once", "made no difference")
class CachesTheRate(Sound):
    def advance(self, p, group):
        cached = self.state[p].get("rate", group["lr"])
        super().advance(p, {**group, "lr": cached})
        self.state[p]["rate"] = group["lr"]

    def begin(self, p, state):
        super().begin(p, state)
        state["rate"] = self.param_groups[0]["lr"]


@breaks("tensor-rate", "the tensor was written to")
class HalvesTheTensor(Sound):
    def move(self, p, direction, group):
        super().move(p, direction, group)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].mul_(0.5)


@breaks("tensor-rate", "fails, and does not say why: TypeError")
class NeedsANumber(Sound):
    def check(self, lr, weight_decay):
        super().check(lr, weight_decay)
        (1.0).__add__(lr) + 0


@breaks("weight-decay-acts", "made no difference")
class IgnoresTheDecay(Sound):
    def gradient(self, p, group):
        return super().gradient(p, {**group, "weight_decay": 0.0})


@breaks("weight-decay-acts", "led away from zero")
class DecaysOutwards(Sound):
    def gradient(self, p, group):
        return super().gradient(p, {**group, "weight_decay": -group["weight_decay"]})


@breaks("named-parameters", "param_names of the group are None")
class ForgetsNames(Sound):
    def add_param_group(self, group):
        super().add_param_group(group)
        self.param_groups[-1].pop("param_names", None)


@breaks("named-parameters", "param_names of the saved group are None")
class SavesNoNames(Sound):
    def state_dict(self):
        saved = super().state_dict()
        for group in saved["param_groups"]:
            group.pop("param_names", None)
        return saved


@breaks("parameters-stay-in-place", "memory was exchanged")
class ExchangesTheMemory(Sound):
    def move(self, p, direction, group):
        p.data = p.data - group["lr"] * direction


@breaks("parameters-stay-in-place", "param_groups hold other tensors")
class ExchangesTheParameter(Sound):
    def advance(self, p, group):
        super().advance(p, group)
        group["params"] = [q.detach().requires_grad_() if q is p else q for q in group["params"]]


@breaks("autograd-notices-the-step", "version did not change")
class WritesThroughData(Sound):
    def move(self, p, direction, group):
        p.data.sub_(group["lr"] * direction)


@breaks("zero-dimensional-parameter", "a 0-d parameter: off by 0.5")
class AsksForRows(Sound):
    def direction(self, p, group, state):
        return super().direction(p, group, state) / (1 if p.ndim else 2)


@breaks("empty-parameter", "raises RuntimeError: max()")
class AsksForTheLargest(Sound):
    def direction(self, p, group, state):
        assert p.grad.abs().max() >= 0 or True
        return super().direction(p, group, state)


@breaks("channels-last-parameter", "raises RuntimeError: view size")
class FlattensByView(Sound):
    def direction(self, p, group, state):
        p.grad.view(-1)
        return super().direction(p, group, state)


@breaks("channels-last-parameter", "lost its channels-last layout")
class LaysOutAnew(Sound):
    def move(self, p, direction, group):
        super().move(p, direction, group)
        p.data = p.data.contiguous()


@breaks("non-contiguous-parameter", "laid out by columns, a parameter: off by")
class FlattensGradients(Sound):
    def gradient(self, p, group):
        g = super().gradient(p, group)
        return (
            g if g.is_contiguous() else torch.as_strided(g, g.shape, torch.empty(g.shape).stride())
        )


@breaks("complex-parameter", "a complex parameter: off by")
class SquaresComplexNumbers(Sound):
    def squared(self, g):
        return g * g

    def root(self, x):
        return x.sqrt()

    def divided(self, m, root):
        return m / (root + 1e-4)


@breaks("complex-parameter", "fails, and does not say why")
class MeetsComplexByChance(Sound):
    def root(self, x):
        return x.sqrt().clamp(min=0)


@breaks("every-floating-type", "fails, and does not say why: RuntimeError: expected dtype")
class KeepsEverythingIn32Bits(Sound):
    def begin(self, p, state):
        super().begin(p, state)
        state["mean"] = torch.zeros_like(p, dtype=torch.float32)


@breaks("every-floating-type", "torch.float16: parameters are no longer finite")
class DividesByTooLittle(Sound):
    def squared(self, g):
        return super().squared(1e-5 * g)

    def divided(self, m, root):
        return m / root


@breaks("every-floating-type", "a parameter is no longer torch.bfloat16")
class Widens(Sound):
    def move(self, p, direction, group):
        super().move(p, direction, group)
        if p.dtype == torch.bfloat16 and self.state[p]["step"] == 4:
            p.grad, p.data = None, p.data.float()


@breaks("mixed-types", "expected all tensors to be of the same type")
class JoinsParameters(Sound):
    def step(self, closure=None):
        kinds = {p.dtype for group in self.param_groups for p in group["params"]}
        if len(kinds) > 1:
            raise RuntimeError("expected all tensors to be of the same type")
        return super().step(closure)


@breaks("order-of-parameters", "in another order, a parameter: off by")
class StepsTheFirstFurther(Sound):
    def move(self, p, direction, group):
        first = group["params"][0] is p
        super().move(p, direction * (1.5 if first else 1), group)


@breaks("negative-rate", "lr=-0.1 was accepted")
class AcceptsNegativeRates(Sound):
    def check(self, lr, weight_decay):
        super().check(abs(lr), weight_decay)


@breaks("negative-weight-decay", "weight_decay=-0.1 was accepted")
class AcceptsNegativeDecay(Sound):
    def check(self, lr, weight_decay):
        super().check(lr, abs(weight_decay))


@breaks("unknown-argument", "weigth_decoy=0.1 was accepted")
class SwallowsArguments(Sound):
    def __init__(self, params, lr=0.05, weight_decay=0.0, **ignored):
        super().__init__(params, lr, weight_decay=weight_decay)


@breaks("no-parameters", "an empty list of parameters was accepted")
class AcceptsNothing(Sound):
    def __init__(self, params, **settings):
        params = list(params)
        super().__init__(params or [torch.nn.Parameter(torch.zeros(1))], **settings)


@breaks("bare-parameter", "a bare parameter was accepted")
class TakesRows(Sound):
    def __init__(self, params, **settings):
        bare = isinstance(params, torch.Tensor)
        super().__init__([params] if bare else params, **settings)


@breaks("duplicate-parameter", "a parameter twice in one group was accepted")
class DropsDuplicates(Sound):
    def __init__(self, params, **settings):
        params = list(params)
        plain = params and isinstance(params[0], torch.Tensor)
        super().__init__(dict.fromkeys(params) if plain else params, **settings)


@breaks("duplicate-parameter", "a parameter in two groups was accepted")
class SearchesOneGroup(Sound):
    def add_param_group(self, group):
        others, self.param_groups = self.param_groups, []
        super().add_param_group(group)
        self.param_groups = others + self.param_groups


@breaks("parameter-that-is-no-leaf", "no leaf was accepted")
class DetachesEverything(Sound):
    def add_param_group(self, group):
        params = group["params"]
        if not isinstance(params, torch.Tensor) and isinstance(params[0], torch.Tensor):
            params = [p if p.is_leaf else p.detach().requires_grad_() for p in params]
        super().add_param_group({**group, "params": params})


@breaks("schedulers", "LambdaLR: makes no difference")
class KeepsTheFirstSettings(Sound):
    def add_param_group(self, group):
        super().add_param_group(group)
        self.first = dict(self.param_groups[-1])

    def __setstate__(self, state):
        super().__setstate__(state)
        self.first = dict(self.param_groups[-1])

    def move(self, p, direction, group):
        super().move(p, direction, self.first)


@breaks("schedulers", "OneCycleLR: KeyError: 'betas'")
class ClaimsBetas(Sound):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        self.defaults["betas"] = (0.9, 0.999)


@breaks("state-in-memory", "the run that was resumed: off by")
class CountsOutsideTheState(Sound):
    count = 0

    def step(self, closure=None):
        self.count += 1
        return super().step(closure)

    def move(self, p, direction, group):
        super().move(p, direction / self.count, group)


@breaks("state-in-memory", "lr of a group was not loaded")
class KeepsItsOwnRate(Sound):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]


class Settings:
    """What a checkpoint that is read with `weights_only=True` may not hold."""

    def __eq__(self, other):
        return isinstance(other, Settings)

    __hash__ = None


@breaks("state-in-a-file", "raises UnpicklingError: Weights only load failed")
class SavesAnObject(Sound):
    def add_param_group(self, group):
        super().add_param_group({**group, "settings": Settings()})


@breaks("state-rewinds", "the run that was taken back: off by")
class LoadsOnlyOnce(Sound):
    def load_state_dict(self, saved):
        if not self.state:
            super().load_state_dict(saved)


@breaks("state-keeps-its-type", "torch.float32 was loaded as torch.bfloat16")
class KeepsWideState(Sound):
    def begin(self, p, state):
        super().begin(p, state)
        wide = torch.promote_types(p.dtype, torch.float32)
        state["square"] = torch.zeros_like(p, dtype=wide)


@breaks("state-is-packed", "state has the keys ['global']")
class HasAGlobalState(Sound):
    def step(self, closure=None):
        self.state["global"] = {"steps": 1}
        return super().step(closure)


@breaks("state-is-packed", "the groups' params are ['0', '1']")
class PacksByName(Sound):
    def state_dict(self):
        saved = super().state_dict()
        for group in saved["param_groups"]:
            group["params"] = [str(place) for place in group["params"]]
        return saved


@breaks("state-is-packed", "a parameter's state is a list, not a dict")
class SavesLists(Sound):
    def state_dict(self):
        saved = super().state_dict()
        saved["state"] = {place: [own["step"]] for place, own in saved["state"].items()}
        return saved


@breaks("state-is-swapped-in", "own parameters moved")
class HoldsOnToParameters(Sound):
    def advance(self, p, group):
        self.held = getattr(self, "held", [])
        if all(q is not p for q in self.held) and len(self.held) < len(group["params"]):
            self.held.append(p)
        where = [q is p for q in group["params"]].index(True)
        super().advance(p, group)
        if self.held[where] is not p:
            self.held[where].sub_(1.0)


@breaks("deep-copy", "stepping the copy moved the original")
class SharesWithItsCopy(Sound):
    def __deepcopy__(self, memo):
        return copy.copy(self)


@breaks("deep-copy", "the copy is a Sound")
class CopiesItsBase(Sound):
    def __deepcopy__(self, memo):
        return Sound([copy.deepcopy(p) for g in self.param_groups for p in g["params"]])


@breaks("deep-copy", "original and copy: off by")
class CopiesWithoutState(Sound):
    def __deepcopy__(self, memo):
        return type(self)([copy.deepcopy(p) for g in self.param_groups for p in g["params"]])


@breaks("pickling", "cannot pickle this")
class CannotBePickled(Sound):
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle this")

    def __deepcopy__(self, memo):
        twin = Sound([copy.deepcopy(p) for g in self.param_groups for p in g["params"]])
        twin.__class__ = type(self)
        twin.load_state_dict(copy.deepcopy(self.state_dict()))
        return twin


@breaks("closure-is-called", "called 2 times")
class CallsTwice(Sound):
    def loss_of(self, closure):
        if closure is not None:
            super().loss_of(closure)
        return super().loss_of(closure)


@breaks("closure-is-called", "the loss was not returned")
class KeepsTheLoss(Sound):
    def loss_of(self, closure):
        super().loss_of(closure)


@breaks("closure-is-called", "raises RuntimeError: element 0 of tensors does not require grad")
class CallsWithoutGradients(Sound):
    def loss_of(self, closure):
        return closure() if closure else None


@breaks("loss-goes-down", "the loss went from")
class Climbs(Sound):
    def move(self, p, direction, group):
        super().move(p, -direction, group)


@breaks("steps-are-repeatable", "the second of two equal runs: off by")
class DrawsFromOutside(Sound):
    source = torch.Generator().manual_seed(0)

    def move(self, p, direction, group):
        noise = torch.rand(p.shape, generator=self.source)
        super().move(p, direction * (1 + 0.1 * noise), group)


@breaks("step-hooks", "called were: none")
class StepsUnseen(Sound):
    def step(self, closure=None):
        with torch.no_grad():
            return Sound.step.__wrapped__(self, closure)

    step.hooked = True


@breaks("step-hooks", "pre-hook after")
class StepsBeforehand(Sound):
    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        self.register_step_pre_hook(lambda *_: self.early())

    @torch.no_grad()
    def early(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad is None or p.sub_(group["lr"] * p.grad)


@breaks("state-hooks", "called were: load, loaded")
class SavesByItself(Sound):
    def state_dict(self):
        return (
            super().state_dict()
            if not self._optimizer_state_dict_pre_hooks
            else {
                "state": {},
                "param_groups": [
                    {**g, "params": list(range(len(g["params"])))} for g in self.param_groups
                ],
            }
        )


@breaks("zero-grad", "left gradients behind")
class ZeroesOnly(Sound):
    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none=False)


@breaks("zero-grad", "did not zero the gradients in place")
class OnlyForgets(Sound):
    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none=True)


@breaks("grad-scaler", "a step on infinite gradients moved a parameter")
class ScalesByItself(Sound):
    _step_supports_amp_scaling = True


@breaks("representation", "repr does not name the class")
class HidesItsSettings(Sound):
    def __repr__(self):
        return "an optimizer"


@breaks("representation", "repr does not show weight_decay")
class HidesTheDecay(Sound):
    def __repr__(self):
        return super().__repr__().replace("weight_decay", "wd")
