"""Two rules by shape, cautious steps and MARS: each against the same thing done from outside."""

import pytest
import torch
from optim_cases import after, gradients, stepped
from torch import nn
from torch.testing import assert_close

from thalweg.optim import (
    GLOSSARY,
    RULES,
    MuonAdamW,
    cautious,
    clip_by_global_norm,
    decoupled,
    for_matrices,
    mars,
    optimizer_class,
)
from thalweg.optim.hyperparameters import check

SHAPES = [(4, 3), (5,), (), (2, 3, 2)]
EXACT = {"rtol": 0, "atol": 0}
NEAR = {"rtol": 1e-10, "atol": 1e-12}
BOTH = for_matrices(RULES["muon"], otherwise=RULES["adam"])


@pytest.fixture
def start():
    return gradients(SHAPES, 1, seed=4)[0]


@pytest.fixture
def grads():
    return gradients(SHAPES, 6)


def alone(name, start, grads, index, **hyper):
    """One of the parameters under one rule."""
    return stepped(RULES[name], [start[index]], [[gs[index]] for gs in grads], **hyper)


@pytest.mark.parametrize("flatten", [False, True])
def test_each_parameter_is_stepped_by_the_rule_of_its_shape(flatten, start, grads):
    hyper = {"lr": 0.1, "lr_ratio": 0.3, "eps": 1e-7, "other_eps": 1e-3, "flatten": flatten}
    got, states = stepped(BOTH, start, grads, **hyper)
    for index, shape in enumerate(SHAPES):
        if len(shape) == 2 or (len(shape) > 2 and flatten):
            name, own = "muon", {"lr": 0.1, "eps": 1e-7}
        else:
            name, own = "adam", {"lr": 0.1 * 0.3, "eps": 1e-3}
        (expected,), (state,) = alone(name, start, grads, index, **own)
        assert_close(got[index], expected, **EXACT)
        assert states[index].keys() - {"step"} == state.keys() - {"step"}


def test_a_group_can_be_given_to_the_other_rule_whole(start, grads):
    got, states = stepped(BOTH, start, grads, lr=0.1, matrices=False)
    assert_close(got, stepped(RULES["adam"], start, grads, lr=0.1)[0], **EXACT)
    assert all(s.keys() == {"step", "exp_avg", "exp_avg_sq"} for s in states)


def test_hyperparameters_of_one_name_are_one_unless_their_defaults_differ():
    assert BOTH.hyperparameters["eps"] == 1e-7
    assert BOTH.hyperparameters["other_eps"] == 1e-8
    assert BOTH.hyperparameters["betas"] == (0.9, 0.999)
    assert "other_lr" not in BOTH.hyperparameters
    assert "of parameters that are no matrices" in GLOSSARY["other_eps"].meaning
    with pytest.raises(ValueError, match="Invalid epsilon value: -1"):
        check("Both", {"other_eps": -1}, BOTH.terms)
    assert "pointwise" not in BOTH.facts
    assert {"odd", "loss-scale-invariant"} <= BOTH.facts


def test_state_that_both_have_stands_once(start, grads):
    both = for_matrices(RULES["soap"], otherwise=RULES["adam"])
    assert [s.name for s in both.slots].count("exp_avg") == 1
    got, _ = stepped(both, start, grads, lr=0.1)
    assert_close(got[0], *alone("soap", start, grads, 0, lr=0.1)[0], **EXACT)
    adam = {"lr": 0.1, "betas": (0.9, 0.999)}
    assert_close(got[1], *alone("adam", start, grads, 1, **adam)[0], **EXACT)


def test_what_all_parameters_share_is_shared(start, grads):
    both = for_matrices(RULES["muon"], otherwise=clip_by_global_norm(RULES["adam"]))
    got, _ = stepped(both, start, grads, lr=0.1, max_norm=0.1)
    clipped, _ = stepped(clip_by_global_norm(RULES["adam"]), start, grads, lr=0.1, max_norm=0.1)
    assert_close(got[1], clipped[1], **EXACT)


def test_state_that_no_parameter_can_be_without_is_refused():
    with pytest.raises(ValueError, match=r"'momentum_buffer' of sgd is made at its first step"):
        for_matrices(RULES["muon"], otherwise=RULES["sgd"])
    with pytest.raises(ValueError, match=r"'mu_product' of nadam is a scalar"):
        for_matrices(RULES["muon"], otherwise=RULES["nadam"])
    with pytest.raises(ValueError, match=r"both rules keep 'momentum_buffer', under different"):
        for_matrices(RULES["muon"], otherwise=RULES["lars"])


def test_each_rule_checks_settings_by_its_own_names():
    made = optimizer_class("Both", for_matrices(RULES["muon"], otherwise=RULES["adafactor"]))
    params = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    made(params, other_eps=(1e-3, 1e-3))
    with pytest.raises(ValueError, match="epsilon2 should be >= 0 but is: None"):
        made(params, other_eps=(1e-3, None))


def test_muon_adamw_takes_a_model_and_a_schedule():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    optimizer = MuonAdamW(
        [
            {"params": list(net[:3].parameters())},
            {"params": net[3].parameters(), "matrices": False},
        ],
        lr=0.05,
    )
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    x, losses = torch.randn(64, 1, 4, 4), []
    y = (x[:, 0, 1, 1] > 0).long()
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        plan.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    kept = [sorted(optimizer.state[p].keys() - {"step"}) for p in net.parameters()]
    adam, muon = ["exp_avg", "exp_avg_sq"], ["momentum_buffer"]
    assert kept == [muon, adam, adam, adam, adam, adam]


def test_muon_adamw_decays_each_by_its_own_rate(start):
    still = [[torch.zeros(s, dtype=torch.float64) for s in SHAPES]]
    got, _ = stepped(MuonAdamW.rule, start, still, lr=0.1, lr_ratio=0.5, weight_decay=0.2)
    assert_close(got[0], start[0] * (1 - 0.1 * 0.2))
    assert_close(got[1], start[1] * (1 - 0.05 * 0.2))


def cautious_adam(p, grads, lr, betas, eps, least_share):
    """C-AdamW without decay: the update u of Adam, masked where u g <= 0 (Liang et al., alg. 1)."""
    (b1, b2), m, v = betas, torch.zeros_like(p), torch.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        u = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps)
        mask = (u * g > 0).double()
        p = p - lr * u * mask / max(float(mask.mean()), least_share)
    return p


@pytest.mark.parametrize("least_share", [1e-3, 0.7, 1.0])
@pytest.mark.parametrize("shape", [(4, 3), (1,), ()])
def test_cautious_steps_are_the_papers(least_share, shape):
    p, grads = gradients([shape], 1, seed=3)[0][0], [g for (g,) in gradients([shape], 200)]
    hyper = {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "least_share": least_share}
    expected = cautious_adam(p, grads, **hyper)
    assert_close(after(cautious(RULES["adam"]), p, grads, **hyper), expected, **NEAR)


def test_a_coordinate_without_gradient_is_not_carried_on():
    p = torch.ones(2, dtype=torch.float64)
    grads = [torch.tensor(g, dtype=torch.float64) for g in ([1.0, 1.0], [1.0, 0.0])]
    once, twice = (after(cautious(RULES["adam"]), p, grads[:n], lr=0.1) for n in (1, 2))
    assert twice[1] == once[1]
    assert twice[0] < once[0]


def test_cautious_half_precision_counts_steps_smaller_than_a_unit_in_the_last_place():
    p = torch.cat([torch.ones(500), torch.full((500,), 1e-3)]).bfloat16()
    g = gradients([(1000,)], 1, dtype=torch.bfloat16)[0][0]
    whole = after(RULES["adam"], p.float(), [g.float()], lr=1e-4)
    got = after(cautious(RULES["adam"]), p, [g], lr=1e-4)
    assert_close(got, whole.bfloat16(), **EXACT)  # all move, so none is scaled up
    assert_close(got[:500], p[:500], **EXACT)  # here by less than can be seen


def mars_adamw(p, grads, lr, betas, eps, mars_gamma, max_corrected_norm, mars_start, decay):
    """Yuan et al., algorithm 2 (MARS-AdamW) with approximate gradients."""
    (b1, b2), m, v = betas, torch.zeros_like(p), torch.zeros_like(p)
    last = torch.zeros_like(p) if mars_start == "zero" else grads[0]
    for t, g in enumerate(grads, 1):
        c = g + mars_gamma * b1 / (1 - b1) * (g - last)
        if max_corrected_norm is not None and c.norm() > max_corrected_norm:
            c = c / c.norm() * max_corrected_norm
        m, v, last = b1 * m + (1 - b1) * c, b2 * v + (1 - b2) * c**2, g
        u = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps)
        p = p - lr * (u + decay * p)
    return p


@pytest.mark.parametrize("max_corrected_norm", [None, 1.0, 4.0])
@pytest.mark.parametrize("mars_start", ["zero", "gradient"])
def test_mars_is_the_papers(max_corrected_norm, mars_start):
    p, grads = gradients([(4, 3)], 1, seed=3)[0][0], [g for (g,) in gradients([(4, 3)], 200)]
    hyper = {"lr": 0.01, "betas": (0.95, 0.99), "eps": 1e-6, "mars_gamma": 0.05}
    hyper |= {"max_corrected_norm": max_corrected_norm, "mars_start": mars_start}
    expected = mars_adamw(p, grads, **hyper, decay=0.1)
    got = after(decoupled(mars(RULES["adam"])), p, grads, **hyper, weight_decay=0.1)
    assert_close(got, expected, **NEAR)


def test_mars_weighs_by_momentum_where_there_are_no_betas():
    p, grads = gradients([(4, 3)], 1, seed=3)[0][0], [g for (g,) in gradients([(4, 3)], 9)]
    got = after(mars(RULES["sgd"]), p, grads, lr=0.1, momentum=0.8, max_corrected_norm=None)
    lasts = [torch.zeros_like(p), *grads]
    corrected = [g + 0.025 * 4 * (g - last) for g, last in zip(grads, lasts, strict=False)]
    assert_close(got, after(RULES["sgd"], p, corrected, lr=0.1, momentum=0.8), **NEAR)


def test_mars_wants_a_rule_with_memory():
    with pytest.raises(ValueError, match=r"mars\(adagrad\).*neither betas nor momentum"):
        mars(RULES["adagrad"])


@pytest.mark.parametrize("wrapper", [cautious, mars], ids=["cautious", "mars"])
def test_wrapped_classes_step_empty_and_late_parameters(wrapper):
    made = optimizer_class("Wrapped", wrapper(RULES["adam"]))
    empty, late = nn.Parameter(torch.ones(0, 3)), nn.Parameter(torch.ones(3))
    optimizer = made([empty, late], lr=0.1)
    for step in range(3):
        empty.grad = torch.zeros(0, 3)
        late.grad = torch.ones(3) if step else None
        optimizer.step()
    assert late.isfinite().all()
    assert optimizer.state[late]["step"] == 2
