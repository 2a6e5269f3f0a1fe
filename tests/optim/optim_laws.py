"""What each fact on a rule claims; a law raises where the rule breaks it."""

import torch
from optim_cases import after
from torch.testing import assert_close

LAWS = {}


def law(fact):
    def keep(function):
        LAWS[fact] = function
        return function

    return keep


@law("pointwise")
def coordinates_do_not_see_each_other(rule, p, grads, hyper):
    whole = after(rule, p, grads, **hyper)
    order = torch.randperm(p.numel(), generator=torch.Generator().manual_seed(1))
    mixed = after(rule, p[order], [g[order] for g in grads], **hyper)
    assert_close(mixed, whole[order], rtol=0, atol=0)


@law("odd")
def a_mirrored_problem_has_a_mirrored_path(rule, p, grads, hyper):
    mirrored = after(rule, -p, [-g for g in grads], **hyper)
    assert_close(mirrored, -after(rule, p, grads, **hyper), rtol=0, atol=0)


@law("loss-scale-invariant")
def scaling_the_loss_changes_nothing(rule, p, grads, hyper):
    hyper = {**hyper, **({"eps": 0.0} if "eps" in hyper else {})}
    scaled = after(rule, p, [1e3 * g for g in grads], **hyper)
    assert_close(scaled, after(rule, p, grads, **hyper), rtol=1e-10, atol=1e-12)


@law("rotation-equivariant")
def no_axis_is_special(rule, p, grads, hyper):
    source = torch.Generator().manual_seed(2)
    q, _ = torch.linalg.qr(torch.randn(p.numel(), p.numel(), generator=source, dtype=p.dtype))
    turned = after(rule, q @ p, [q @ g for g in grads], **hyper)
    assert_close(turned, q @ after(rule, p, grads, **hyper), rtol=1e-10, atol=1e-12)
