"""What the tests of rules run on: parameters, gradients, settings, and one way to step."""

from itertools import product

import torch

from thalweg.optim import (
    RULES,
    Engine,
    clip_by_global_norm,
    clip_by_value,
    decoupled,
    l2,
    maximize,
    weight_decay,
)

# Of every kind that a network has: a matrix, a bias, no dimensions, nothing in it, one entry; one
# that is large for the engine, and one that is cut into blocks and leaves a rest.
SHAPES = [(3, 4), (5,), (), (0,), (1,), (2, 3, 4), (50, 50), (140_001,)]

# What each hyperparameter is tried at.
VALUES = {
    "lr": (1e-2,),
    "momentum": (0.0, 0.9),
    "dampening": (0.0, 0.3),
    "nesterov": (False, True),
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-8, 1e-3),
    "amsgrad": (False, True),
    "weight_decay": (0.0, 0.1),
    "decoupled_weight_decay": (False, True),
    "maximize": (False, True),
    "max_norm": (None, 0.5),
    "clip_value": (None, 0.5),
}

WRAPPERS = (l2, decoupled, weight_decay, maximize, clip_by_global_norm, clip_by_value)
WRAPPED = {made.name: made for made in (w(r) for w in WRAPPERS for r in RULES.values())}
EVERY_RULE = {**RULES, **WRAPPED}

# With everything switched on, so that laws and forms meet every term.
ACTIVE = {
    "momentum": 0.9,
    "dampening": 0.3,
    "amsgrad": True,
    "weight_decay": 0.1,
    "max_norm": 0.5,
    "clip_value": 0.5,
}


def settings(names):
    """Every combination of the hyperparameters that is allowed."""
    for values in product(*(VALUES[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        without_momentum = not chosen.get("momentum", 1) or chosen.get("dampening", 0)
        if not (chosen.get("nesterov") and without_momentum):
            yield chosen


def active(rule):
    """The rule's hyperparameters with every term switched on."""
    return rule.settings(**{k: v for k, v in ACTIVE.items() if k in rule.hyperparameters})


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
