"""Muon and Adafactor beside PyTorch's, and the matrix optimizers on what they may meet."""

import copy
from itertools import product

import pytest
import torch
from beside_pytorch import EXACT, nearness
from optim_cases import gradients
from torch import nn
from torch.testing import assert_close

from thalweg.optim import LAMB, LARS, OPTIMIZERS, SOAP, Adafactor, Muon, MuonAdamW, Shampoo

MATRICES = [(3, 4), (7, 2), (1, 5), (5, 1), (1, 1), (40, 30)]
SHAPES = {  # PyTorch's Adafactor divides by zero where a parameter is empty
    "muon": MATRICES,
    "adafactor": [*MATRICES, (5,), (), (1,), (2, 3, 4), (140_001,)],
}
HYPER = {
    "muon": [
        {},
        {"nesterov": False, "momentum": 0.5},
        {"weight_decay": 0.0, "lr": 0.1},
        {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
        {"adjust_lr_fn": "original", "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
        {"lr": torch.tensor(0.02)},
    ],
    "adafactor": [
        {},
        {"lr": 0.5, "beta2_decay": -0.3, "d": 2.0},
        {"eps": (1e-3, 0.1), "weight_decay": 0.1},
        {"maximize": True, "weight_decay": 0.1},
        {"lr": torch.tensor(0.02)},
    ],
}
CASES = [(name, hyper) for name, hypers in HYPER.items() for hyper in hypers]
every_case = pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
FAMILY = [LAMB, LARS, Adafactor, Muon, MuonAdamW, Shampoo, SOAP]
every_class = pytest.mark.parametrize("make", FAMILY, ids=[made.__name__ for made in FAMILY])


def both(name):
    return OPTIMIZERS[name], getattr(torch.optim, OPTIMIZERS[name].__name__)


def parameters(shapes, dtype=torch.float32):
    return [nn.Parameter(x) for x in gradients(shapes, 1, seed=8, dtype=dtype)[0]]


def walk(optimizer, grads, start=0):
    """Steps along gradients; the second parameter's come from the third step on."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step, gs in enumerate(grads, start):
        for index, (p, g) in enumerate(zip(params, gs, strict=True)):
            p.grad = None if index == 1 and step < 2 else g.clone()
        optimizer.step()
    return [p.detach().clone() for p in params]


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_steps_are_pytorchs(name, hyper, dtype):
    if dtype == torch.bfloat16 and hyper.get("nesterov") is False:
        return  # PyTorch's writes into its momentum buffer here: see the next test
    made, grads = both(name), gradients(SHAPES[name], 4, dtype=dtype)
    one, other = (make(parameters(SHAPES[name], dtype), **copy.deepcopy(hyper)) for make in made)
    assert_close(walk(one, grads), walk(other, grads), **nearness(name, dtype))
    mine, theirs = one.state_dict()["state"], other.state_dict()["state"]
    assert {k: v.keys() for k, v in mine.items()} == {k: v.keys() for k, v in theirs.items()}
    assert_close(mine, theirs, **nearness(name, dtype))


def test_the_momentum_of_half_precision_is_kept():
    p, mine = (nn.Parameter(torch.zeros(3, 4, dtype=torch.bfloat16)) for _ in range(2))
    g = gradients([(3, 4)], 1, dtype=torch.bfloat16)[0][0]
    optimizers = [
        made([x], nesterov=False) for made, x in zip(both("muon"), (mine, p), strict=True)
    ]
    for optimizer, x in zip(optimizers, (mine, p), strict=True):
        x.grad = g.clone()
        optimizer.step()
    assert_close(mine.detach(), p.detach(), **EXACT)
    average = torch.lerp(torch.zeros_like(g), g, 1 - 0.95)
    assert_close(optimizers[0].state[mine]["momentum_buffer"], average, **EXACT)


@every_case
@pytest.mark.parametrize("way", ["to torch", "from torch", "within"])
def test_a_run_continued_is_a_run_never_interrupted(name, hyper, way):
    ours, theirs = both(name)
    first, second = {"to torch": (ours, theirs), "from torch": (theirs, ours)}.get(way, (ours,) * 2)
    shapes = SHAPES[name]
    grads = gradients(shapes, 6, dtype=torch.float32)
    begun = first(parameters(shapes), **copy.deepcopy(hyper))
    middle = walk(begun, grads[:3])
    resumed = second([nn.Parameter(p) for p in middle])
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    whole = ours(parameters(shapes), **copy.deepcopy(hyper))
    assert_close(
        walk(resumed, grads[3:], 3),
        walk(whole, grads),
        **(EXACT if way == "within" else nearness(name)),
    )


@pytest.mark.parametrize("name", SHAPES)
def test_defaults_and_keys_are_pytorchs(name):
    ours, theirs = (make(parameters(MATRICES)) for make in both(name))
    assert ours.defaults.items() >= theirs.defaults.items()
    keys = [list(o.state_dict()["param_groups"][0]) for o in (ours, theirs)]
    assert set(keys[1]) <= set(keys[0])
    placed = [theirs.defaults[key] for key in ours.order]
    assert both(name)[0](parameters(MATRICES), *placed).defaults == ours.defaults


P = [nn.Parameter(torch.ones(2, 3))]
BAD = [
    ("muon", P, {"lr": -1}, r"^Learning rate should be >= 0 but is: -1"),
    ("muon", P, {"momentum": -1}, r"^momentum should be >= 0 but is: -1"),
    ("muon", P, {"weight_decay": -1}, r"^weight decay should be >= 0 but is: -1"),
    ("muon", P, {"adjust_lr_fn": "big"}, r"^Adjust learning rate function big is not supported"),
    ("muon", [nn.Parameter(torch.ones(3))], {}, r"^Muon only supports 2D parameters whereas we "),
    ("muon", [nn.Parameter(torch.ones(2, 3, 4))], {}, r"^Muon only supports 2D parameters where"),
    ("adafactor", P, {"lr": -1}, r"^Learning rate should be >= 0 but is: -1"),
    ("adafactor", P, {"beta2_decay": 0.8}, r"^beta2_decay should be <= 0 but is: 0.8"),
    ("adafactor", P, {"eps": (-1, 1e-3)}, r"^epsilon1 should be >= 0 but is: -1"),
    ("adafactor", P, {"eps": (None, -1)}, r"^epsilon2 should be >= 0 but is: -1"),
    ("adafactor", P, {"d": 0.5}, r"^Clipping threshold d should be >= 1 but is: 0.5"),
    ("adafactor", P, {"weight_decay": -1}, r"^weight_decay should be >= 0 but is: -1"),
]


@pytest.mark.parametrize(("name", "params", "hyper", "words"), BAD)
def test_refusals_begin_as_pytorchs_do(name, params, hyper, words):
    for make in both(name):
        with pytest.raises(ValueError, match=words):
            make(params, **hyper)


def test_the_second_epsilon_must_be_a_number():
    with pytest.raises(ValueError, match=r"epsilon2 should be >= 0 but is: None.*eps=\(None, 1e-"):
        Adafactor(P, eps=(None, None))


@pytest.mark.parametrize("name", SHAPES)
def test_complex_parameters_are_refused_as_by_pytorch(name):
    for make in both(name):
        p = nn.Parameter(torch.ones(2, 3, dtype=torch.complex64))
        p.grad = torch.ones_like(p)
        with pytest.raises(RuntimeError, match=f"{make.__name__} does not support complex param"):
            make([p]).step()


def test_muon_takes_convolutions_as_matrices_if_asked():
    (flat, g) = gradients([(4, 18)], 2)
    ends = []
    for shape, more in (((4, 18), {}), ((4, 2, 3, 3), {"flatten": True})):
        p = nn.Parameter(flat[0].reshape(shape))
        p.grad = g[0].reshape(shape)
        Muon([p], **more).step()
        ends.append(p.detach().flatten())
    assert_close(*ends, **EXACT)
    with pytest.raises(ValueError, match="Muon only supports 2D"):
        Muon([nn.Parameter(torch.ones(3))], flatten=True)


@every_class
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_steps_are_finite_where_little_is_known(make, dtype):
    """No gradient, one direction only, tall, wide, one row, nothing in it, half precision."""
    shapes = [(3, 4), (6, 2), (1, 7), (0, 3), (3, 0), (4, 4), (4, 4)]
    shapes += [] if make is Muon else [(5,), (), (0,), (2, 3, 4)]
    params = parameters(shapes, dtype)
    optimizer = make(params, lr=0.01)
    for step in range(4):
        for index, p in enumerate(params):
            p.grad = torch.full_like(p, 0.0 if step == 3 else 1e-3 * (step + index))  # of rank one
        optimizer.step()
    assert all(p.isfinite().all() for p in params)
    assert all(p.dtype == dtype for p in params)


@every_class
def test_a_zero_gradient_from_the_start_moves_nothing(make):
    p = nn.Parameter(torch.ones(3, 4))
    optimizer = make([p], weight_decay=0.0)
    for _ in range(3):
        p.grad = torch.zeros(3, 4)
        optimizer.step()
    assert_close(p.detach(), torch.ones(3, 4), **EXACT)


@every_class
@pytest.mark.parametrize("layout", ["columns first", "strided"])
def test_the_layout_of_memory_does_not_matter(make, layout):
    ends = []
    for laid in (False, True):
        (start,), grads = gradients([(6, 4)], 1)[0], gradients([(6, 4)], 3, seed=1)
        if laid:
            start = start.T.contiguous().T if layout == "columns first" else spread(start)
        p = nn.Parameter(start)
        optimizer = make([p], lr=0.1)
        for (g,) in grads:
            p.grad = g.T.contiguous().T if laid else g
            optimizer.step()
        ends.append(p.detach().contiguous())
    # Muon's own arithmetic is bfloat16, whose kernels differ with the layout.
    near = {"rtol": 0.02, "atol": 0.01} if make in (Muon, MuonAdamW) else {}
    assert_close(*ends, **near)


def spread(x):
    """The same numbers with gaps between them."""
    return torch.stack([x, x], dim=2)[:, :, 0]


def test_soap_skips_the_first_step_unless_told_not_to():
    for skips in (True, False):
        p = nn.Parameter(torch.ones(3, 4))
        optimizer = SOAP([p], skip_first=skips, weight_decay=0.0)
        p.grad = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        optimizer.step()
        assert bool((p == 1).all()) == skips
        basis = optimizer.state[p]["left_basis"]
        assert_close(basis.T @ basis, torch.eye(3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "k"), [(4, 4), (6, 3), (3, 6)])
def test_shampoo_and_muon_begin_along_the_orthogonal_factor(n, k):
    g = torch.randn(n, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, vt = torch.linalg.svd(g, full_matrices=False)
    p = nn.Parameter(torch.zeros_like(g))
    p.grad = g
    Shampoo([p], lr=1.0, eps=0.0).step()
    assert_close(p.detach(), -u @ vt)
    p = nn.Parameter(torch.zeros_like(g))
    p.grad = g
    cubic = {"ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 30, "ns_precision": "full"}
    Muon([p], lr=1.0, weight_decay=0.0, **cubic).step()
    assert_close(p.detach(), -u @ vt * max(1, n / k) ** 0.5)


@every_class
def test_matrix_factorization_is_learned(make):
    source = torch.Generator().manual_seed(0)
    target = torch.randn(12, 3, generator=source) @ torch.randn(3, 8, generator=source)
    a, b = (nn.Parameter(torch.randn(s, generator=source)) for s in ((12, 3), (3, 8)))
    more = {LARS: {"trust_coefficient": 0.02}, Shampoo: {"lr": 0.5}, Adafactor: {"lr": 0.05}}
    optimizer = make([a, b], **{"lr": 0.05, "weight_decay": 0.0, **more.get(make, {})})
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (a @ b - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.05 * losses[0]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", ["together", "blocks", "compiled"])
def test_whole_tensors_have_one_form(name, form):
    with pytest.raises(ValueError, match="is not declared pointwise"):
        both(name)[0](P, form=form)


def test_every_pair_of_sides_may_be_left_out():
    for make, (limit, shape) in product((Shampoo, SOAP), product((0, 2, 3), ((2, 3), (3, 2)))):
        p = nn.Parameter(torch.ones(shape))
        optimizer = make([p], max_precond_dim=limit)
        for g in gradients([shape], 3, dtype=torch.float32):
            p.grad = g[0]
            optimizer.step()
        kept = [("left" in optimizer.state[p]), ("right" in optimizer.state[p])]
        assert kept == [size <= limit for size in shape]
        assert p.isfinite().all()
