"""What each fact on a rule claims; a law raises where the rule breaks it."""

import torch
from optim_cases import after, stepped
from torch.testing import assert_close

LAWS = {}


def law(fact):
    def keep(function):
        LAWS[fact] = function
        return function

    return keep


@law("pointwise")
def coordinates_do_not_see_each_other(rule, p, grads, hyper):
    """Mixed, and cut in two, they come to the same; what all share, they may share."""
    whole = after(rule, p, grads, **hyper).flatten()
    order = torch.randperm(p.numel(), generator=torch.Generator().manual_seed(1))
    mixed = lambda x: torch.split(x.flatten()[order], p.numel() // 2)
    parts, _ = stepped(rule, mixed(p), [mixed(g) for g in grads], **hyper)
    near = {"rtol": 1e-14, "atol": 1e-15} if rule.summaries else {"rtol": 0, "atol": 0}
    assert_close(torch.cat(parts), whole[order], **near)


@law("odd")
def a_mirrored_problem_has_a_mirrored_path(rule, p, grads, hyper):
    mirrored = after(rule, -p, [-g for g in grads], **hyper)
    assert_close(mirrored, -after(rule, p, grads, **hyper), rtol=0, atol=0)


@law("loss-scale-invariant")
def scaling_the_loss_changes_nothing(rule, p, grads, hyper):
    hyper = {**hyper, **({"eps": without_first(hyper["eps"])} if "eps" in hyper else {})}
    scaled = after(rule, p, [1e3 * g for g in grads], **hyper)
    assert_close(scaled, after(rule, p, grads, **hyper), rtol=1e-10, atol=1e-12)


def without_first(eps):
    """An eps of zero; of several, the first is what keeps a denominator from zero."""
    return (0.0, *eps[1:]) if isinstance(eps, tuple) else 0.0


def orthogonal(size, seed=2):
    source = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=source, dtype=torch.float64))[0]


def assert_equivariant(turn, rule, p, grads, hyper):
    turned = after(rule, turn(p), [turn(g) for g in grads], **hyper)
    assert_close(turned, turn(after(rule, p, grads, **hyper)), rtol=1e-10, atol=1e-12)


@law("rotation-equivariant")
def no_axis_is_special(rule, p, grads, hyper):
    q = orthogonal(p.numel())
    assert_equivariant(lambda x: (q @ x.flatten()).view_as(x), rule, p, grads, hyper)


@law("orthogonally-equivariant")
def no_row_and_no_column_is_special(rule, p, grads, hyper):
    rows, columns = orthogonal(p.shape[0]), orthogonal(p.shape[1], seed=4)
    assert_equivariant(lambda x: rows @ x @ columns.T, rule, p, grads, hyper)
