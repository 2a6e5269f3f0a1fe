"""What the tests of rules run on: parameters, gradients, settings, and one way to step."""

from itertools import product

import torch
from optim_references import REFERENCES

from thalweg.optim import (
    RULES,
    Engine,
    bound_units,
    cautious,
    clip_adaptively,
    clip_by_global_norm,
    clip_by_percentile,
    clip_by_tensor_norm,
    clip_by_value,
    decoupled,
    decoupled_from_lr,
    l1,
    l2,
    lookahead,
    mars,
    maximize,
    rescaled,
    schedule_free,
    weight_decay,
)

# Of every kind that a network has: a matrix, a bias, no dimensions, nothing in it, one entry; one
# that is large for the engine, and one that is cut into blocks and leaves a rest.
SHAPES = [(3, 4), (5,), (), (0,), (1,), (2, 3, 4), (50, 50), (140_001,)]

# What the hyperparameters are tried at that belong to no rule alone.
VALUES = {
    "lr": (1e-2,),
    "weight_decay": (0.0, 0.1),
    "decoupled_weight_decay": (False, True),
    "maximize": (False, True),
    "max_norm": (None, 0.5),
    "clip_value": (None, 0.5),
}
ACTIVE = {
    "weight_decay": 0.1,
    "peak_lr": 0.1,
    "l1_penalty": 0.1,
    "rescaling": 0.9,
    "max_norm": 0.5,
    "max_tensor_norm": 0.5,
    "max_unit_norm": 0.5,
    "clip_value": 0.5,
    "clip_factor": 1.0,
    "clip_percentile": 40.0,
    "clip_window": 4,
    "lookahead_steps": 2,
    "warmup_steps": 3,
    "r": 1.0,
    "max_corrected_norm": 3.5,
}
# What moves a parameter that has no gradient, switched off.
STILL = {
    "weight_decay": 0.0,
    "lambd": 0.0,
    "l1_penalty": 0.0,
    "rescaling": 1.0,
    "max_unit_norm": None,
}

WRAPPERS = (
    *(l1, l2, decoupled, decoupled_from_lr, weight_decay, rescaled, bound_units, maximize),
    *(clip_by_global_norm, clip_by_tensor_norm, clip_by_value, clip_adaptively, clip_by_percentile),
    *(lookahead, schedule_free, cautious, mars),
)
# The rules that every wrapper meets: with little state and with all that a rule may ask for.
SAMPLES = {name: RULES[name] for name in ("sgd", "adam")}
WRAPPED = {made.name: made for made in (w(r) for w in WRAPPERS for r in SAMPLES.values())}
EVERY_RULE = {**RULES, **WRAPPED}


def innermost(rule):
    """The reference module of a rule under its wrappers: `maximize(l2(sgd))` is `sgd`'s."""
    return REFERENCES[rule.name.rpartition("(")[2].rstrip(")")]


def settings(rule, names=None):
    """Every combination of the rule's hyperparameters, or of those named, that is allowed."""
    module, names = innermost(rule), names or rule.hyperparameters
    tried = {**VALUES, **module.VALUES}
    for values in product(*(tried[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        if getattr(module, "allowed", lambda hyper: True)(rule.settings(**chosen)):
            yield chosen


def active(rule):
    """The rule's hyperparameters with every term switched on, so that laws meet all of them."""
    on = {**ACTIVE, **innermost(rule).ACTIVE}
    return rule.settings(**{k: v for k, v in on.items() if k in rule.hyperparameters})


def gradients(shapes, steps, seed=0, dtype=torch.float64):
    """For each step, one gradient per shape."""
    source = torch.Generator().manual_seed(seed)
    draw = lambda shape: torch.randn(shape, generator=source, dtype=torch.float64).to(dtype)
    return [[draw(shape) for shape in shapes] for _ in range(steps)]


def stepped(rule, params, grads, form="each", **hyper):
    """The parameters after as many steps as there are gradients, and the state."""
    ps = [torch.nn.Parameter(p.detach().clone()) for p in params]
    engine, state = Engine(rule, form), {p: {} for p in ps}
    group = {"params": ps, **rule.settings(**hyper)}
    with torch.no_grad():
        for gs in grads:
            for p, g in zip(ps, gs, strict=True):
                p.grad = g.clone()
            engine.step([group], state)
    return [p.detach() for p in ps], [state[p] for p in ps]


def after(rule, p, grads, **hyper):
    """One parameter after steps along its gradients."""
    (new,), _ = stepped(rule, [p], [[g] for g in grads], **hyper)
    return new
