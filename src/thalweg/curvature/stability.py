r"""How much curvature each optimizer bears at a learning rate, and the reverse.

On a quadratic, each eigendirection of curvature a evolves by itself, by a linear recursion
z^2 - c1 z - c0 = 0 in the positions at two successive steps (`curvature.methods`). As a grows, a
root leaves the unit circle at z = -1: the iterates change sign at every step and grow:

    gradient descent    a = 2 / lr
    heavy ball          a = (2 + 2b) / lr                (torch's: buffer = b buffer + g)
    Nesterov            a = (2 + 2b) / ((1 + 2b) lr)
    Adam                a = (2 + 2b1) / ((1 - b1) lr)    of the preconditioned Hessian; 38/lr at 0.9

Above its limit the step overshoots by more than it gains; training then diverges, or hovers at the
edge of stability where the curvature falls back. Cohen et al., *Gradient descent on neural networks
typically occurs at the edge of stability* (arXiv 2103.00065); for Adam, arXiv 2207.14484.

The limits are those of the full-batch method near a minimum. They do not depend on minibatch noise,
and an optimizer may be above its limit for a few steps without harm.
"""

import math

from thalweg.curvature.methods import Method


def sgd_limit(
    lr: float,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> float:
    """Largest Hessian eigenvalue at which torch.optim.SGD with these arguments is stable.

    The Hessian is that of the loss without the decay, which adds `weight_decay` to each eigenvalue.

    Raises:
        ValueError: `lr` not positive and finite, `momentum` or `dampening` outside [0, 1),
            `weight_decay` negative, or `nesterov` without momentum or with dampening.
    """
    check_positive("sgd_limit", "lr", lr)
    reach = sgd_reach("sgd_limit", momentum, dampening, nesterov)
    check_decay("sgd_limit", weight_decay)
    return reach / lr - weight_decay


def sgd_largest_lr(
    curvature: float,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> float:
    """Largest learning rate at which SGD is stable on a largest eigenvalue of `curvature`.

    Infinite where `curvature` + `weight_decay` is not positive: then no direction overshoots.

    Raises:
        ValueError: as `sgd_limit`, or `curvature` not finite.
    """
    check_finite("sgd_largest_lr", "curvature", curvature)
    reach = sgd_reach("sgd_largest_lr", momentum, dampening, nesterov)
    check_decay("sgd_largest_lr", weight_decay)
    bent = curvature + weight_decay
    return reach / bent if bent > 0 else math.inf


def adam_limit(lr: float, *, beta1: float = 0.9, weight_decay: float = 0.0) -> float:
    """Largest eigenvalue of P^{-1} H at which Adam is stable, its preconditioner P held still.

    P is `curvature.adam_preconditioner`'s. `weight_decay` is the decoupled one of AdamW; Adam's
    own, coupled, decay belongs in the Hessian, as `weight_decay` / P.

    Raises:
        ValueError: `lr` not positive and finite, `beta1` outside [0, 1), `weight_decay` negative.
    """
    check_positive("adam_limit", "lr", lr)
    check_fraction("adam_limit", "beta1", beta1)
    check_decay("adam_limit", weight_decay)
    return Method("adam", beta1).limit * (1 / lr - weight_decay / 2)


def adam_largest_lr(curvature: float, *, beta1: float = 0.9, weight_decay: float = 0.0) -> float:
    """Largest learning rate at which Adam is stable on a largest eigenvalue of P^{-1} H.

    Infinite where no direction overshoots.

    Raises:
        ValueError: as `adam_limit`, or `curvature` not finite.
    """
    check_finite("adam_largest_lr", "curvature", curvature)
    check_fraction("adam_largest_lr", "beta1", beta1)
    check_decay("adam_largest_lr", weight_decay)
    limit = Method("adam", beta1).limit
    bent = curvature + limit * weight_decay / 2
    return limit / bent if bent > 0 else math.inf


def sgd_reach(caller: str, momentum: float, dampening: float, nesterov: bool) -> float:
    """The limit of lr times curvature."""
    check_fraction(caller, "momentum", momentum)
    check_fraction(caller, "dampening", dampening)
    if nesterov and (momentum == 0 or dampening != 0):
        raise ValueError(
            f"{caller}(nesterov=True, momentum={momentum}, dampening={dampening}): "
            "Nesterov's method needs a momentum above 0 and no dampening."
        )
    limit = Method("nesterov" if nesterov else "momentum", momentum).limit
    # The first step of torch's momentum is not dampened and has no say in the long run.
    return limit / (1 - dampening if momentum else 1.0)


def check_positive(caller: str, name: str, value: float) -> None:
    """Raise ValueError unless `value` is positive and finite."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{caller}({name}={value}): {name} must be positive and finite.")


def check_finite(caller: str, name: str, value: float) -> None:
    """Raise ValueError unless `value` is finite."""
    if not math.isfinite(value):
        raise ValueError(f"{caller}({name}={value}): {name} must be finite.")


def check_fraction(caller: str, name: str, value: float) -> None:
    """Raise ValueError unless `value` lies in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{caller}({name}={value}): {name} must be at least 0 and below 1.")


def check_decay(caller: str, value: float) -> None:
    """Raise ValueError unless `value` is a weight decay: at least 0 and finite."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{caller}(weight_decay={value}): it must be at least 0 and finite.")
