"""For every obstacle: recordings just above and just below what raises it.

``ABOVE`` and ``BELOW`` map a code to named recordings. A recording above its threshold raises the
suspicion with a strength of more than one half; one below raises none, or one of at most one half
(for causes that are always worth a trial). Thresholds that a module names are taken from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from made_recordings import (
    LOSSES,
    STEPS,
    at_sample,
    changed,
    ended,
    healthy,
    held_out,
    noisy,
    of_inputs,
    point,
    probed,
)

from thalweg.obstacles import (
    class_imbalance,
    cliff,
    dead_units,
    exploding_gradient,
    gradient_noise,
    ill_conditioning,
    initialization_scale,
    low_precision,
    mislabeled_data,
    over_regularization,
    saturated_units,
    stopped_too_early,
    underfitting,
    unscaled_targets,
    vanishing_gradient,
    weak_optimizer,
)
from thalweg.recorder import Recording

Rows = dict[str, dict[str, Callable[[], Recording]]]

RISING = [2.3] * 20 + [8.0] * 20
STUCK = [2.3] * STEPS
BREAKS = [*LOSSES[:20], *[math.nan] * 20]
GROWS_AND_BREAKS = [*LOSSES[:17], 30.0, 300.0, 3000.0, *[math.nan] * 20]
SINKING = [1.0 - i for i in range(STEPS)]
HALF = [2.0, 1.5, *[1.0] * 38]  # learns something, and no more
WAITING = [2.0] * 20 + [2.0 * 0.7**i for i in range(20)]


def scales(*found):
    return [{"scale": one, "censored": None} for one in found]


def with_room(scale, reach):
    """Steps that could be this much longer, at this part of the largest stable rate."""
    found = {"scale": scale, "censored": "above" if scale is None else None}
    made = probed(healthy(), "critical", [found] * 6)
    for one in made.samples:
        one["probes"]["curvature"] |= {"reach": reach}
    return made


def leaping(times):
    return at_sample(healthy(RISING), 3, "parameters", gradient=0.2 * times)


def with_ratio(ratio):
    """The first layer's gradient over its norm is this share of the others'."""
    return changed(healthy(), "parameters", [0], gradient=0.2 * ratio)


def through_time(ratio):
    return probed(healthy(), "through_time", [ratio] * 6)


def dead(share, index):
    return at_sample(healthy(), index, "activations", dead=share)


def alike_until(index, then=None):
    """The rows of a parameter are alike until a sample; from then on those of another one."""
    made = changed(healthy(), "parameters", [0], alike=True)
    for at, row in enumerate(made.samples[index]["parameters"]):
        row["alike"] = at == then
    return made


def fading(varies, *dead):
    """Hidden layers of whose signals these parts vary; those at ``dead`` are so by 60 %."""
    made = healthy()
    for one in made.samples:
        row = one["activations"][0]
        shares = [0.6 if at in dead else 0.1 for at in range(len(varies))]
        pairs = zip(varies, shares, strict=True)
        one["activations"] = [row | {"varies": v, "dead": share} for v, share in pairs]
    return made


def saturated(share, index):
    return at_sample(healthy(), index, "activations", kind="tanh", saturated=share)


def features(mean=0.0, std=1.0, spread=1.0):
    deviations = [std] * 9 + [std * spread]
    return healthy(moments=of_inputs([mean] * 10, deviations))


def eigenvalues(ratio):
    return healthy(moments=of_inputs([0.0] * 10, [1.0] * 10, [ratio, *[1.0] * 9]))


def autocorrelated(run_length):
    """Mean targets of 1000 batches that stay the same for so many batches."""
    means = [(i // run_length * 7919) % 101 / 101 for i in range(1000)]
    return healthy(target_means=means)


def rarest(share):
    """Three classes of 3000 examples; the rarest has this part of its fair share."""
    few = round(1000 * share)
    return healthy(target_counts={"0": 2000 - few, "1": 1000, "2": few})


def lost(share):
    return changed(healthy(), "parameters", dtype="bfloat16", unchanged=share)


def decaying(decay, shrunk=0.5, **more):
    made = healthy(settings={"weight_decay": decay}, **more)
    return at_sample(made, -1, "parameters", norm=2.0 * shrunk)


def embedded(spread, kind="cross_entropy"):
    made = changed(healthy(), "layers", [0], kind="embedding", gain=None)
    return ended(made, kind=kind, outputs={"std": spread})


def outweighed(explained):
    told = {"explained": explained, "added": 1.0}
    return probed(healthy(), "terms", [told | {"explained": 0.0}, told])


def jittering(losses=HALF, **more):
    return probed(healthy(losses), "noise", [noisy(**more)] * 20)


def plainly(zeros=0.0, spread=1.0):
    """Descent whose gradients are sparse, or of which one is so much longer than the others."""
    made = changed(healthy(STUCK), "parameters", zeros=zeros)
    return changed(made, "parameters", [0], gradient=0.2 * spread)


def leaping_at(step, times, losses=RISING):
    """Gradients of every step; one is so many times as long as the others."""
    made = healthy(losses)
    for row in made.steps:
        row["gradient"] = (times if row["step"] == step else 1.0) * (1 + 0.1 * (row["step"] % 3))
    return made


def at_a(kind, losses=WAITING, **more):
    """Looks at the curvature of the first six steps, which are all alike."""
    return probed(healthy(losses), "curvature", [point(kind, **more)] * 6)


def drowned(losses=STUCK, scale=10.1, smallest=-0.1):
    """No batch's gradient is zero, and together they do not tell theirs from zero."""
    made = at_a("no critical point", losses, smallest=smallest)
    for one in made.samples:
        one["probes"]["noise"] = noisy(scale=scale)
    return made


def ordered(made):
    made.summary["target_means"] = autocorrelated(10).summary["target_means"]
    return made


def agreeing(p=0.5, contradicted=0.0, losses=STUCK, examples=500, **more):
    found = {
        "examples": examples, "classes": 3, "explained": -0.1, "chance": -0.1, "p": p,
        "contradicted": contradicted,
    }  # fmt: skip
    return healthy(losses, agreement=found, **more)


def accuracy(value):
    return {
        "readings": held_out([value] * 5, "accuracy"),
        "target_counts": {"0": 1000, "1": 1000, "2": 1000},
    }


def small(units, losses=HALF, room=3.0):
    made = probed(healthy(losses), "critical", scales(*[room] * 6))
    return changed(made, "layers", [0, 1], units=units)


def narrow(units, classes=20, **more):
    """100 inputs, layers of 100, of so few units, of 100 and of as many as there are classes."""
    made = healthy(HALF)
    for one in made.samples:
        first = one["layers"][0]
        sizes = [(100, 100), (100, units), (units, 100), (100, classes)]
        one["layers"] = [first | {"inputs": a, "units": b} for a, b in sizes]
        one |= more
    return made


def with_columns(deviations):
    """Targets and outputs of unit size, whose columns vary by so much, around one."""
    made = ended(healthy(), kind="mse_loss", targets=(0.0, 1.0))
    for one in made.samples:
        one["ending"]["targets"]["columns"] = {"means": [1.0] * len(deviations), "stds": deviations}
    return made


def copying(made):
    for one in made.samples:
        one["reconstruction"] = 1.0
    return made


def following(part, at, **first):
    """A layer (activation) that is given what the one before it gave."""
    made = changed(healthy(HALF), part, [at], follows=at - 1)
    return changed(made, part, [at - 1], **first)


ABOVE: Rows = {
    "learning-rate-too-high": {
        "three of ten steps": lambda: probed(
            healthy(STUCK), "critical", scales(*[0.5] * 3, *[2.0] * 7)
        ),
        "ends twice as high": lambda: healthy([2.3] * 20 + [4.7] * 20),
        "not finite": lambda: healthy(BREAKS),
    },
    "learning-rate-too-low": {
        "room for 21": lambda: with_room(21.0, 0.047),
        "room beyond sight": lambda: with_room(None, 1e-3),
        "decayed away": lambda: healthy(rates=[0.1] * 15 + [0.0005] * 25),
    },
    "ill-conditioning": {"wide": lambda: eigenvalues(1.01 * ill_conditioning.WIDE)},
    "optimizer-setting": {
        "eps": lambda: healthy(kind="Adam", settings={"eps": 1.1e-4}),
        "first beta": lambda: healthy(kind="Adam", settings={"betas": [0.991, 0.999]}),
        "second beta": lambda: healthy(kind="Adam", settings={"betas": [0.9, 0.49]}),
        "momentum": lambda: healthy(settings={"momentum": 0.991}),
        "dampening": lambda: healthy(settings={"momentum": 0.9, "dampening": 0.51}),
    },
    "vanishing-gradient": {
        "depth": lambda: with_ratio(0.99 * vanishing_gradient.NEAR),
        "depth, far": lambda: with_ratio(0.99 * vanishing_gradient.FAR),
        "time": lambda: through_time(0.99 * vanishing_gradient.NEAR),
    },
    "exploding-gradient": {
        "leaps": lambda: leaping(1.01 * exploding_gradient.LEAP),
        "enormous at once": lambda: changed(
            healthy(RISING), "parameters", gradient=2.02 * exploding_gradient.LEAP
        ),
        "not finite": lambda: at_sample(healthy(RISING), 3, "parameters", gradient=None),
        "loss not finite": lambda: healthy(GROWS_AND_BREAKS),
    },
    "dead-units": {
        "at the start": lambda: dead(1.01 * dead_units.MANY, 0),
        "at the end": lambda: dead(1.01 * dead_units.MANY, -1),
        "one layer ends the signal": lambda: fading([0.5, 0.0, 0.0], 1, 2),
        "the first layer ends it": lambda: fading([0.0, 0.0], 0, 1),
        "some layer, and the rest live": lambda: fading([0.5, 0.2, 0.4], 1),
    },
    "saturated-units": {"at the start": lambda: saturated(1.01 * saturated_units.MANY, 0)},
    "symmetric-initialization": {
        "a hidden layer": lambda: changed(healthy(), "layers", [1], twins=1.0),
        "rows of a parameter": lambda: changed(healthy(), "parameters", [1], alike=True),
    },
    "initialization-scale": {
        "small": lambda: changed(healthy(), "layers", gain=0.99 * initialization_scale.LOW),
        "large": lambda: changed(healthy(), "layers", gain=1.01 * initialization_scale.HIGH),
        "one layer": lambda: changed(
            healthy(), "layers", [1], gain=1.01 * initialization_scale.HIGH
        ),
        "embeddings": lambda: embedded(1.01 * initialization_scale.SURE),
    },
    "unscaled-inputs": {
        "spread": lambda: features(spread=10.1),
        "offset": lambda: features(mean=0.51, std=0.1),
        "scale": lambda: features(std=5.1),
        "tiny": lambda: features(std=0.099),
    },
    "unscaled-targets": {
        "large": lambda: ended(
            healthy(), kind="mse_loss", targets=(0.0, 2.05 * unscaled_targets.FAR / 1.5)
        ),
        "tiny": lambda: ended(
            healthy(), kind="mse_loss", targets=(0.0, 1.3 / unscaled_targets.FAR)
        ),
        "one column among others": lambda: with_columns([1.0, 0.98 / unscaled_targets.FAR]),
        "beside a constant column": lambda: with_columns([3.0, 0.0, 0.09]),
    },
    "unshuffled-data": {"long runs": lambda: autocorrelated(10)},
    "class-imbalance": {"rare": lambda: rarest(0.98 * class_imbalance.RARE)},
    "loss-output-mismatch": {
        "softmax twice": lambda: ended(healthy(), made_by="softmax"),
        "sigmoid twice": lambda: ended(
            healthy(), kind="binary_cross_entropy_with_logits", made_by="sigmoid"
        ),
        "no logarithms": lambda: ended(
            healthy(), kind="nll_loss", outputs={"rows_are_log_probabilities": False}
        ),
        "broadcast": lambda: ended(healthy(), kind="mse_loss", broadcast=True),
        "rates for logarithms": lambda: ended(
            healthy(), kind="poisson_nll_loss", log_input=True, made_by="softplus"
        ),
        "logarithms for rates": lambda: ended(
            healthy(), kind="poisson_nll_loss", log_input=False, outputs={"min": -0.1}
        ),
    },
    "output-range": {
        "below": lambda: ends_in("relu", (-0.011, 0.989)),
        "above": lambda: ends_in("sigmoid", (0.0, 1.02)),
        "both": lambda: ends_in("tanh", (-2.0, 2.0)),
    },
    "stale-gradients": {"five of forty": lambda: healthy(stale=5)},
    "untrained-parameters": {"one": lambda: healthy(untrained=["head.weight"])},
    "ascending": {
        "falls on": lambda: healthy(SINKING),
        "rises as asked": lambda: healthy(RISING, settings={"maximize": True}),
    },
    "train-eval-mode": {
        "evaluation": lambda: healthy(modes={"dropout active in evaluation": 1}),
        "training": lambda: healthy(modes={"batch_norm passive in training": 1}),
    },
    "overfitting": {
        "a loss": lambda: healthy(readings=held_out([1.0, 0.5, 0.5, 0.5, 0.55, 0.55, 0.55])),
        "an accuracy": lambda: healthy(
            readings=held_out([0.5, 0.8, 0.8, 0.8, 0.77, 0.77, 0.77], "accuracy")
        ),
    },
    "over-regularization": {
        "coupled": lambda: decaying(1.01 * over_regularization.STRONG),
        "decoupled": lambda: decaying(40.4 * over_regularization.STRONG, kind="AdamW"),
        "a term of the loss": lambda: outweighed(0.99 * over_regularization.EXPLAINED),
    },
    "stopped-too-early": {
        "still falling": lambda: falling(1.01 * stopped_too_early.FALL),
    },
    "non-finite": {
        "singular": lambda: changed_operations(healthy(BREAKS), "sqrt"),
    },
    "low-precision": {"bfloat16": lambda: lost(1.01 * low_precision.MOST)},
    "gradient-noise": {
        "noise": lambda: jittering(scale=1.01 * gradient_noise.SCALE),
        "all noise": lambda: jittering(scale=None),
        "others gain little": lambda: jittering(others_fall=0.99 * gradient_noise.GAIN * 0.4),
        "jitter": lambda: jittering(
            own_fall=4.04 * gradient_noise.JITTER, others_fall=0.0
        ),
    },
    "weak-optimizer": {
        "sparse": lambda: plainly(zeros=1.01 * weak_optimizer.SPARSE),
        "spread": lambda: plainly(spread=1.01 * weak_optimizer.SPREAD),
    },
    "cliff": {
        "in the middle": lambda: leaping_at(19, 1.3 * cliff.LEAP),
        "and the loss is no number": lambda: leaping_at(19, 1e3, BREAKS),
        "early": lambda: leaping_at(cliff.FEWEST, 1e3, [2.3] * 5 + [9.0] * 35),
    },
    "saddle-point": {
        "waits": lambda: at_a("saddle", gradient=1e-9),
        "ends": lambda: at_a("saddle", STUCK, gradient=1e-9),
        "noise": lambda: drowned(),
    },
    "plateau": {
        "waits": lambda: at_a("plateau", gradient=1e-9, largest=1e-9, smallest=-1e-9),
        "ends": lambda: at_a("plateau", STUCK, gradient=1e-9),
    },
    "mislabeled-data": {
        "no better than chance": lambda: agreeing(1.01 * mislabeled_data.CHANCE),
        "nor is the network": lambda: agreeing(0.5, losses=LOSSES, **accuracy(0.66)),
        "contradicted": lambda: agreeing(0.02, 1.01 * mislabeled_data.CONTRADICTED),
    },
    "bad-architecture": {
        "a bottleneck": lambda: narrow(18),
        "layers without activation": lambda: following("layers", 1),
        "an activation of one": lambda: following("activations", 1, kind="tanh"),
    },
    "underfitting": {
        "few units": lambda: small(underfitting.SMALL),
        "perhaps": lambda: small(underfitting.PERHAPS),
    },
}  # fmt: skip

BELOW: Rows = {
    "learning-rate-too-high": {
        "two of ten steps": lambda: probed(
            healthy(STUCK), "critical", scales(*[0.5] * 2, *[2.0] * 8)
        ),
        "ends less than twice as high": lambda: healthy([2.3] * 20 + [4.5] * 20),
    },
    "learning-rate-too-low": {
        "room for 19": lambda: with_room(19.0, 0.047),
        "room along a valley, not between its walls": lambda: with_room(1000.0, 0.051),
        "decayed a little": lambda: healthy(rates=[0.1] * 15 + [0.0011] * 25),
        "diverged": lambda: probed(healthy(RISING), "critical", scales(*[100.0] * 6)),
    },
    "ill-conditioning": {"narrow": lambda: eigenvalues(0.99 * ill_conditioning.WIDE)},
    "optimizer-setting": {
        "usual for Adam": lambda: healthy(
            kind="Adam", settings={"eps": 1e-4, "betas": [0.99, 0.5]}
        ),
        "usual for descent": lambda: healthy(settings={"momentum": 0.99, "dampening": 0.5}),
    },
    "vanishing-gradient": {
        "depth": lambda: with_ratio(1.01 * vanishing_gradient.NEAR),
        "time": lambda: through_time(1.01 * vanishing_gradient.NEAR),
        "one layer": lambda: one_layer(with_ratio(1e-6)),
        "twins": lambda: changed(with_ratio(1e-6), "layers", [0], twins=1.0),
    },
    "exploding-gradient": {
        "leaps less": lambda: leaping(0.99 * exploding_gradient.LEAP),
        "leaps while the loss falls": lambda: at_sample(
            healthy(), 3, "parameters", gradient=2e3 * exploding_gradient.LEAP
        ),
    },
    "dead-units": {
        "at the start": lambda: dead(0.99 * dead_units.MANY, 0),
        "at the end": lambda: dead(0.99 * dead_units.MANY, -1),
        "twins": lambda: changed(dead(1.0, 0), "layers", [0], twins=1.0),
        "starved": lambda: fading([0.5, 0.2, 0.06, 0.02, 0.005, 0.002], 3, 4, 5),
        "starved, some of it on the way": lambda: fading([0.5, 0.2, 0.06, 0.02], 1, 2, 3),
    },
    "saturated-units": {"at the start": lambda: saturated(0.99 * saturated_units.MANY, 0)},
    "symmetric-initialization": {
        "the last layer": lambda: changed(healthy(), "layers", [2], twins=1.0),
        "rows told apart later": lambda: alike_until(-1),
        "rows of other parameters": lambda: alike_until(-1, 1),
        "most units": lambda: changed(healthy(), "layers", [1], twins=0.99),
        "one unit": lambda: changed(healthy(), "layers", [1], twins=1.0, units=1),
    },
    "initialization-scale": {
        "small": lambda: changed(healthy(), "layers", gain=1.01 * initialization_scale.LOW),
        "large": lambda: changed(healthy(), "layers", gain=0.99 * initialization_scale.HIGH),
        "twins": lambda: changed(healthy(), "layers", gain=9.0, twins=1.0),
        "embeddings": lambda: embedded(0.99 * initialization_scale.SURE),
        "large numbers": lambda: embedded(9 * initialization_scale.SURE, kind="mse_loss"),
        "large logits without embeddings": lambda: ended(
            healthy(), outputs={"std": 9 * initialization_scale.SURE}
        ),
    },
    "unscaled-inputs": {
        "spread": lambda: features(spread=9.9),
        "offset": lambda: features(mean=0.49, std=0.1),
        "scale": lambda: features(std=4.9),
        "tiny": lambda: features(std=0.101),
        "a constant feature": lambda: features(spread=0.0),
    },
    "unscaled-targets": {
        "large": lambda: ended(
            healthy(), kind="mse_loss", targets=(0.0, 1.95 * unscaled_targets.FAR / 1.5)
        ),
        "small": lambda: ended(
            healthy(), kind="mse_loss", targets=(0.0, 1.4 / unscaled_targets.FAR)
        ),
        "classes": lambda: ended(healthy(), targets=(0.0, 999.0)),
        "columns of one kind": lambda: with_columns([1.0, 1.02 / unscaled_targets.FAR]),
        "constant columns": lambda: with_columns([1.0, 0.0, 0.0]),
        "copies of the inputs": lambda: copying(with_columns([1.0, 1e-4])),
    },
    "unshuffled-data": {
        "shuffled": lambda: autocorrelated(1),
        "too few": lambda: healthy(target_means=[0.0] * 9 + [1.0] * 10),
        "all the same": lambda: healthy(target_means=[0.1] * 100),
    },
    "class-imbalance": {
        "less rare": lambda: rarest(1.02 * class_imbalance.RARE),
        "one class": lambda: healthy(target_counts={"0": 3000}),
        "few examples": lambda: healthy(target_counts={"0": 190, "1": 1}),
        "not classes": lambda: healthy(target_counts={"-1": 2900, "1": 100}),
    },
    "loss-output-mismatch": {
        "logits": lambda: ended(healthy(), made_by="linear"),
        "logarithms": lambda: ended(
            healthy(), kind="nll_loss", outputs={"rows_are_log_probabilities": True}
        ),
        "same shapes": lambda: ended(healthy(), kind="mse_loss", broadcast=False),
        "rates": lambda: ended(
            healthy(), kind="poisson_nll_loss", log_input=False, made_by="softplus",
            outputs={"min": 0.1},
        ),
        "logarithms of rates": lambda: ended(
            healthy(), kind="poisson_nll_loss", log_input=True, made_by="linear"
        ),
        "no loss was seen": lambda: without_ending(healthy()),
    },
    "output-range": {
        "a hundredth": lambda: ends_in("relu", (-0.0099, 0.99)),
        "within": lambda: ends_in("sigmoid", (0.0, 1.0)),
        "hidden": lambda: ended(healthy(), kind="mse_loss", targets=(-2.0, 2.0)),
        "classes": lambda: ends_in("relu", (-2.0, 2.0), kind="cross_entropy"),
    },
    "stale-gradients": {"four of forty": lambda: healthy(stale=4)},
    "untrained-parameters": {"none": lambda: healthy(untrained=[])},
    "ascending": {
        "falls below zero and settles": lambda: healthy(
            [1.0 - 5 * (1 - 0.8**i) for i in range(STEPS)]
        ),
        "falls as asked": lambda: healthy(settings={"maximize": True}),
        "rises unasked": lambda: healthy(RISING),
    },
    "train-eval-mode": {
        "right": lambda: healthy(
            modes={"dropout active in training": 9, "dropout passive in evaluation": 9}
        ),
    },
    "overfitting": {
        "a loss": lambda: healthy(readings=held_out([1.0, 0.5, 0.5, 0.5, 0.53, 0.53, 0.53])),
        "an accuracy": lambda: healthy(
            readings=held_out([0.5, 0.8, 0.8, 0.8, 0.78, 0.78, 0.78], "accuracy")
        ),
        "too few readings": lambda: healthy(readings=held_out([0.5, 0.9, 0.9, 0.9])),
        "training does not fit": lambda: healthy(RISING, readings=held_out([0.5] * 3 + [1.5] * 4)),
    },
    "over-regularization": {
        "coupled": lambda: decaying(0.99 * over_regularization.STRONG),
        "decoupled": lambda: decaying(39.6 * over_regularization.STRONG, kind="AdamW"),
        "a term beside a fit": lambda: outweighed(1.01 * over_regularization.EXPLAINED),
    },
    "stopped-too-early": {
        "falling less": lambda: falling(0.99 * stopped_too_early.FALL),
        "the schedule has run out": lambda: falling(0.5, rates=[0.1] * 39 + [0.029]),
        "too short": lambda: healthy([2.3 * 0.5**i for i in range(29)]),
    },
    "non-finite": {
        "nothing singular": lambda: healthy(BREAKS),
        "grown before": lambda: changed_operations(healthy(GROWS_AND_BREAKS), "sqrt"),
        "finite": lambda: changed_operations(healthy(), "sqrt"),
    },
    "low-precision": {
        "bfloat16": lambda: lost(0.99 * low_precision.MOST),
        "float32": lambda: changed(healthy(), "parameters", unchanged=1.0),
        "without gradient": lambda: changed(lost(1.0), "parameters", zeros=0.9),
    },
    "gradient-noise": {
        "less noise": lambda: jittering(scale=0.99 * gradient_noise.SCALE),
        "others gain": lambda: jittering(others_fall=1.01 * gradient_noise.GAIN * 0.4),
        "less jitter": lambda: jittering(own_fall=3.96 * gradient_noise.JITTER, others_fall=0.0),
        "makes progress": lambda: jittering([3.0 * 0.97**i for i in range(STEPS)], own_fall=4.0),
        "early alone": lambda: probed(healthy(HALF), "noise", [noisy()] * 3),
    },
    "weak-optimizer": {
        "less sparse": lambda: plainly(zeros=0.99 * weak_optimizer.SPARSE),
        "less spread": lambda: plainly(spread=0.99 * weak_optimizer.SPREAD),
        "has momentum": lambda: changed(
            healthy(STUCK, settings={"momentum": 0.9}), "parameters", zeros=0.99
        ),
        "is adaptive": lambda: changed(healthy(STUCK, kind="Adam"), "parameters", zeros=0.99),
        "has got far": lambda: changed(healthy([2.0] * 5 + [0.1] * 35), "parameters", zeros=0.99),
    },
    "cliff": {
        "leaps less": lambda: leaping_at(19, 0.8 * cliff.LEAP),
        "the loss falls on": lambda: leaping_at(19, 1e3, LOSSES),
        "grows for many steps": lambda: growing(),
        "in the first steps": lambda: leaping_at(cliff.FEWEST - 1, 1e3),
    },
    "saddle-point": {
        "batches in order": lambda: ordered(drowned()),
        "less noise": lambda: drowned(scale=9.9),
        "noise and hardly bent": lambda: drowned(smallest=-0.019),
        "noise and it moves": lambda: drowned(HALF),
        "hardly bent": lambda: at_a("saddle", gradient=1e-9, smallest=-0.019),
        "does not wait": lambda: at_a("saddle", LOSSES, gradient=1e-9),
        "a minimum": lambda: at_a("minimum", STUCK),
        "twins": lambda: changed(at_a("saddle", STUCK), "layers", [0], twins=1.0),
        "dead": lambda: changed(at_a("saddle", STUCK), "activations", [0], dead=0.6),
        "at the end of a fit": lambda: at_a("saddle", [2.0] * 2 + [0.1] * 38, gradient=1e-9),
    },
    "plateau": {
        "does not wait": lambda: at_a("plateau", LOSSES),
        "no gradient at all": lambda: at_a("plateau", STUCK, gradient=0.0),
        "dead": lambda: changed(at_a("plateau", STUCK), "activations", [0], dead=0.6),
        "saturated": lambda: changed(
            at_a("plateau", STUCK), "activations", [0], kind="tanh", saturated=0.6
        ),
        "a perfect fit": lambda: at_a("plateau", [2.0] * 2 + [0.1] * 38),
    },
    "mislabeled-data": {
        "better than chance": lambda: agreeing(0.99 * mislabeled_data.CHANCE),
        "the network knows": lambda: agreeing(0.5, losses=STUCK, **accuracy(0.67)),
        "the loss has fallen": lambda: agreeing(0.5, losses=LOSSES),
        "few examples": lambda: agreeing(0.5, examples=mislabeled_data.FEWEST - 1),
        "less contradicted": lambda: agreeing(0.02, 0.99 * mislabeled_data.CONTRADICTED),
    },
    "bad-architecture": {
        "as wide as the outputs": lambda: narrow(19),
        "a quarter": lambda: narrow(26, classes=90),
        "an autoencoder": lambda: narrow(10, classes=100, reconstruction=0.95),
        "a factor of low rank": lambda: following("layers", 1, units=5, inputs=10),
        "the same activation again": lambda: following("activations", 1, kind="relu"),
    },
    "underfitting": {
        "many units": lambda: small(underfitting.PERHAPS + 1),
        "has fitted": lambda: small(4, [2.0] * 5 + [0.59] * 35),
        "has learned nothing": lambda: small(4, [2.0] * 5 + [1.91] * 35),
        "still falls": lambda: small(4, [2.0 * 0.98**i for i in range(STEPS)]),
        "a rate too low": lambda: small(4, room=101.0),
        "a recurrent layer": lambda: changed(small(4), "layers", [0], kind="gru"),
    },
}  # fmt: skip


def growing():
    """Every gradient is twelve times the one before, as where steps overshoot."""
    made = healthy(GROWS_AND_BREAKS)
    for row in made.steps:
        row["gradient"] = min(12.0 ** row["step"], 1e30)
    return made


def ends_in(activation, targets, kind="mse_loss"):
    """The last activation is no hidden one, and its output meets these targets."""
    made = ended(healthy(), kind=kind, targets=targets)
    for one in made.samples:
        one["activations"].append({"kind": activation, "hidden": False})
    return made


def falling(part, **more):
    """The last of ten equal stretches is lower than the one before by this part."""
    return healthy([2.0] * 32 + [1.0] * 4 + [1.0 - part] * 4, **more)


def one_layer(recording):
    for one in recording.samples:
        del one["layers"][1:]
    return recording


def changed_operations(recording, *names):
    for one in recording.samples:
        one["operations"] += names
    return recording


def without_ending(recording):
    for one in recording.samples:
        one["ending"] = None
    return recording
