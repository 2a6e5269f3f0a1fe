"""Every way of taking Hessian products gives the same numbers, for what it says it costs."""

import time

import pytest
import torch
from networks import NETWORKS, mlp, relative
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from thalweg.operators import Hessian, ways
from thalweg.operators.linear_tape import CannotRecordError, recorded

every_network = pytest.mark.parametrize("name", NETWORKS)


def same(reverse, other, vectors=3):
    """A few products by a way and by reverse over reverse, and how the way repeats its own."""
    v = torch.randn(reverse.size, vectors, dtype=reverse.dtype)
    found = other @ v
    assert relative(found, reverse @ v) < 1e-13
    assert torch.equal(other @ v, found)
    assert other.loss == reverse.loss
    assert relative(other.gradient, reverse.gradient) < 1e-14


@every_network
@pytest.mark.parametrize("way", ["forward", "linearize"])
def test_agrees_with_reverse_over_reverse(name, way):
    model, loss, batches = NETWORKS[name]()
    same(*(Hessian.of_model(model, loss, batches[:1], way=one) for one in ("reverse", way)))


@every_network
def test_agrees_over_several_batches_too(name):
    model, loss, batches = NETWORKS[name]()
    reverse = Hessian.of_model(model, loss, batches)
    recorded = Hessian.of_model(model, loss, batches, way="linearize", memory=0)
    v = torch.randn(reverse.size, dtype=reverse.dtype)
    assert relative(recorded @ v, reverse @ v) < 1e-13


@pytest.mark.compile
def test_compiled_agrees_with_reverse_over_reverse():
    """Of a small loss: compiling takes seconds for each of a program's kernels."""
    params = {"w": torch.randn(4, 3, dtype=torch.float64)}
    x = torch.randn(5, 4, dtype=torch.float64)
    loss = lambda p: (x @ p["w"]).tanh().pow(3).sum()
    same(*(Hessian(loss, params, way=one) for one in ("reverse", "compiled")))


def deep(width=32):
    layers = [layer for _ in range(12) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers), torch.randn(16, width)


def flops(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize(("way", "gradients"), [("forward", 3), ("linearize", 2), ("reverse", 2)])
def test_costs_what_it_says(way, gradients):
    model, x = deep()
    y = torch.zeros_like(x)
    hessian = Hessian.of_model(model, F.mse_loss, (x, y), way=way)
    v = torch.ones(hessian.size)
    one = flops(lambda: torch.autograd.grad(F.mse_loss(model(x), y), list(model.parameters())))
    assert gradients - 0.2 <= flops(lambda: hessian @ v) / one <= gradients + 0.05


def test_says_what_is_held():
    model, x = deep()
    held = {}
    for way in ("reverse", "forward", "linearize"):
        with Hessian.of_model(model, F.mse_loss, (x, x), way=way) as hessian:
            held[way] = hessian.held
        assert hessian.held == 0
    assert held["forward"] == 0
    # Twelve layers keep at least what went into each: 16 x 32 numbers of 4 bytes.
    assert held["linearize"] > 12 * 16 * 32 * 4
    assert held["linearize"] < 4 * held["reverse"]


def test_a_product_at_zero_is_zero_and_parameters_used_in_a_line_have_none():
    params = {"a": torch.ones(3), "b": torch.ones(2), "idle": torch.ones(1)}
    for way in ("reverse", "forward", "linearize"):
        hessian = Hessian(lambda p: (p["a"] ** 3).sum() + p["b"].sum(), params, way=way)
        assert (hessian @ torch.ones(6)).tolist() == [6, 6, 6, 0, 0, 0], way
        assert (hessian @ torch.zeros(6)).tolist() == [0] * 6, way


def test_the_fastest_way_is_chosen_where_products_can_pay_for_it(monkeypatch):
    def chosen(**seconds):
        monkeypatch.setattr(ways, "seconds_of", lambda way, params: seconds[type(way).__name__])
        model, loss, data = mlp()
        hessian = Hessian.of_model(model, loss, data[:1], way="auto", products=100)
        return type(hessian._way).__name__, hessian.measured

    assert chosen(Reverse=0.04) == ("Reverse", {"reverse": 0.04})
    assert chosen(Reverse=1.0, Linearized=0.8) == (
        "Linearized",
        {"reverse": 1.0, "linearize": 0.8},
    )
    assert chosen(Reverse=1.0, Linearized=1.2)[0] == "Reverse"


def test_the_fastest_way_keeps_no_more_than_it_may(monkeypatch):
    """Neither a recording that holds more than the graph, nor without any memory anything."""
    monkeypatch.setattr(ways, "RECORDING_PAYS", 0.0)
    monkeypatch.setattr(ways, "COMPILING_PAYS", float("inf"))
    model, loss, data = mlp()
    held = {"reverse": Hessian.of_model(model, loss, data[:1]).held}
    monkeypatch.setattr(ways.Linearized, "held", held["reverse"] + 1)
    tried = {
        memory: Hessian.of_model(model, loss, data[:1], way="auto", memory=memory, check=False)
        for memory in (1e12, held["reverse"], held["reverse"] - 1)
    }
    found = {
        memory: list(next(iter(one._operators()))[1].measured) for memory, one in tried.items()
    }
    assert list(found.values()) == [["reverse", "linearize"], ["reverse"], ["forward"]]
    assert tried[held["reverse"] - 1].held == 0


def test_measures_by_the_clock():
    hessian = Hessian(lambda p: time.sleep(0.01) or (p["w"] ** 3).sum(), {"w": torch.ones(3)})
    forward = ways.Forward(lambda p: time.sleep(0.01) or (p["w"] ** 3).sum(), hessian._params)
    assert ways.seconds_of(forward, hessian._params) >= 0.01


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match=r"way='fast'\): give one of 'auto', 'reverse'"):
        Hessian(lambda p: p["w"].sum(), {"w": torch.ones(2)}, way="fast")


def test_other_draws_in_forward_mode_are_refused():
    def loss(p):
        return (p["w"] ** 2).sum() * torch.rand(())

    hessian = Hessian(loss, {"w": torch.ones(2)}, way="forward")
    with pytest.raises(NotImplementedError, match="do not repeat"):
        hessian @ torch.ones(2)


class Twice(torch.autograd.Function):
    """Has no forward mode."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def test_an_operation_without_forward_mode_is_explained_and_other_ways_do_without():
    params = {"w": torch.ones(2)}

    def loss(p):
        return (Twice.apply(p["w"]) ** 2).sum()

    with pytest.raises(NotImplementedError, match="way='reverse'"):
        Hessian(loss, params, way="forward") @ torch.ones(2)
    for way in ("reverse", "linearize", "auto"):
        assert (Hessian(loss, params, way=way) @ torch.ones(2)).tolist() == [8, 8]


class Reader(torch.autograd.Function):
    """x^2, whose second derivative looks at a number."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return Read.apply(x * g) * 2


class Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g if g.sum().item() != 12345 else g * 0


def test_what_cannot_be_recorded_is_refused_and_auto_does_without(monkeypatch):
    monkeypatch.setattr(ways, "RECORDING_PAYS", 0.0)
    params, loss = {"w": torch.ones(2)}, lambda p: Reader.apply(p["w"]).sum()
    with pytest.raises(CannotRecordError, match="reads a number"):
        Hessian(loss, params, way="linearize")
    hessian = Hessian(loss, params, way="auto")
    assert (hessian @ torch.ones(2)).tolist() == [2, 2]
    assert list(hessian.measured) == ["reverse"]


class TestRecording:
    def test_constants_are_as_they_were_when_they_were_read(self):
        kept = torch.tensor([[1.0, 0.0], [0.0, 2.0]])

        def product(v):
            first = kept @ v["x"]
            kept.mul_(10)
            return {"y": first + kept @ v["x"]}

        tape = recorded(product, {"x": torch.ones(2)})
        assert tape({"x": torch.ones(2)})["y"].tolist() == [11, 22]
        kept.zero_()
        with pytest.raises(RuntimeError, match="written to in place after"):
            tape({"x": torch.ones(2)})

    def test_memory_that_is_written_begins_anew(self):
        def product(v):
            total = torch.full((2, 3), 5.0)
            total[1] += v["x"]
            total[:, 0] *= 2
            return {"y": total.clone()}

        tape = recorded(product, {"x": torch.ones(3)})
        for _ in range(2):
            found = tape({"x": torch.tensor([1.0, 2.0, 3.0])})["y"]
            assert found.tolist() == [[10, 5, 5], [12, 7, 8]]

    def test_random_numbers_are_drawn_once(self):
        tape = recorded(lambda v: {"y": v["x"] * torch.rand(4)}, {"x": torch.ones(4)})
        once, again = (tape({"x": torch.ones(4)})["y"] for _ in range(2))
        assert torch.equal(once, again)

    def test_several_results_of_one_operation(self):
        tape = recorded(lambda v: {"y": v["x"].sort().values}, {"x": torch.ones(3)})
        assert tape({"x": torch.tensor([3.0, 1.0, 2.0])})["y"].tolist() == [1, 2, 3]

    def test_what_does_not_depend_on_the_input_is_not_repeated(self):
        a = torch.randn(8, 8)
        tape = recorded(lambda v: {"y": (a @ a @ a) @ v["x"]}, {"x": torch.ones(8)})
        assert (
            len(tape.program.graph.find_nodes(op="call_function", target=torch.ops.aten.mv.default))
            == 1
        )
        assert not tape.program.graph.find_nodes(
            op="call_function", target=torch.ops.aten.mm.default
        )

    def test_a_number_that_is_read_out_is_refused(self):
        with pytest.raises(CannotRecordError, match="reads a number"):
            recorded(lambda v: {"y": v["x"] * v["x"].sum().item()}, {"x": torch.ones(3)})
