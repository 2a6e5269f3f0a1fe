"""Recorded linear functions: the values of what was recorded, in as few operations as promised."""

import pytest
import torch
from networks import normal, relative

from thalweg.operators.linear_tape import recorded
from thalweg.operators.seen import place

aten = torch.ops.aten
A, B, C = normal(4, 4), normal(4, 4), normal(4, 1)
COLUMN, POSITIVE = normal(4), normal(4, 4).abs() + 1
HUGE = 1e155 * POSITIVE
WIDE = normal(8, 8)


def written_in_steps(x, y):
    total = torch.zeros(4, 4, dtype=x.dtype)
    total[1] += x[1]
    first = total @ A
    total[:, 0] += y[:, 0]
    return total @ A + first


def over_itself(x, y):
    total = x * A
    total.div_(POSITIVE).sub_(y)
    view = total.view(16)
    view.mul_(2)
    return total + view.view(4, 4)


def in_another_layout(x, y):
    return ((x @ A).t() + y).t().reshape(2, 8) @ WIDE


def used_twice(x, y):
    shared = x * A + y * B
    return shared @ A + shared.sum(1, keepdim=True) + shared


def used_by_three_sums(x, y):
    shared = x * A - y * B
    return (shared * A).sum(0) + (shared * B).sum(1, keepdim=True) + (shared * C).sum()


def product_used_twice(x, y):
    product = x @ A
    return (product + y) @ B + product.sum(0)


def chain_used_twice(x, y):
    chain = x * A * B
    return chain @ A + chain


def view_used_twice(x, y):
    view = (x @ A).view(2, 8)
    return (view + y.view(2, 8)) @ WIDE - view


def one_view_written_twice(x, y):
    total = torch.zeros(4, 4, dtype=x.dtype)
    row = total[1]
    row.add_(x[1])
    row.mul_(2)
    return total @ A + y


def of_two_precisions(x, y):
    single = x.float() * A.float()
    before = single.sum(0) * B
    return before + single.add_(y) * B


def pieces_of_an_input(x, y):
    one, other = x.chunk(2, 1)
    return torch.cat([one + other, y[:, :2] + one * 0], 1) @ A + x


def pieces_used_again(x, y):
    product = x @ A
    one, other = product.chunk(2, 1)
    return torch.cat([one + other, y[:, :2]], 1) + product


def turned_and_used_again(x, y):
    product = (x @ A) * A * B
    return (product.t() + B @ y) @ A + product @ B


def part_used_again(x, y):
    chain = (x @ A) * A * B
    return (chain[:2] + y[:2]).sum(0) + chain @ B


# Functions linear in two 4 x 4 matrices, and how many operations remain that are no views.
FUNCTIONS = {
    "factors": (lambda x, y: ((x * A) / POSITIVE - 2 * x * B) * C, 1),
    "two terms": (lambda x, y: (x - y) * A + 3 * y, 2),
    "terms that cancel": (lambda x, y: x * A + y - x * A, 1),
    "alpha": (lambda x, y: torch.sub(torch.add(x, y, alpha=0.5), x, alpha=3), 2),
    "scalars": (lambda x, y: -(x * 3 - y / 4) * 0.5, 2),
    "broadcast": (lambda x, y: x[:1] * A + y[:, :1] * C, 2),
    "broadcast at the end": (lambda x, y: (x[:1] * 2 * COLUMN) + y, 1),
    "choice": (lambda x, y: torch.where(A > 0, x * B, y), 2),
    "affine": (lambda x, y: torch.where(A > 0, x, torch.ones(())) * B, 2),
    "gelu": (lambda x, y: aten.gelu_backward(x * B, A) + y * A, 2),
    "activations": (
        lambda x, y: (
            aten.silu_backward(x, A)
            + aten.tanh_backward(x, B)
            + aten.threshold_backward(x, A, 0)
            + aten.elu_backward(x, 1.0, 1.0, 1.0, False, B)
            + aten.softplus_backward(x, A, 1, 20)
            + aten.sigmoid_backward(x, B)
            + aten.leaky_relu_backward(x, A, 0.1, False)
        ),
        1,
    ),
    "beyond the largest number": (lambda x, y: x @ (A * 1e-200) * HUGE * (B * 1e155), 3),
    "numbers beyond the largest": (lambda x, y: x @ (A * 1e-200) * 1e155 * 1e155, 3),
    "product and sum": (lambda x, y: x @ A + y, 1),
    "products": (lambda x, y: x @ A + B @ y + (x @ B).t() + y, 4),
    "products of stacks": (
        lambda x, y: torch.bmm(x[None], A[None]) + torch.bmm(B[None], y[None]).transpose(-1, -2),
        2,
    ),
    "stacks the other way": (lambda x, y: torch.bmm(x[None], A[None]).transpose(0, 1)[:, 0], 1),
    "turned product": (lambda x, y: (A @ x).t() @ B + (y.t() @ A).t(), 3),
    "the same twice": (lambda x, y: (x @ A) * B + (x @ A).sum(0), 3),
    "plus a constant": (lambda x, y: (x * A + B) * B - y, 4),
    "plus nothing": (lambda x, y: x[:1] * A * 2 - torch.zeros(4, 4, dtype=x.dtype), 1),
    "plus nothing of another shape": (lambda x, y: torch.zeros(4, 4, dtype=x.dtype) + x[:1] * 2, 2),
    "other numbers": (lambda x, y: torch.add(x, y, alpha=2) @ A + torch.add(x, y, alpha=3) @ B, 4),
    "sum used twice": (used_twice, 6),
    "sum used by three sums": (used_by_three_sums, 10),
    "product used twice": (product_used_twice, 5),
    "chain used twice": (chain_used_twice, 2),
    "view used twice": (view_used_twice, 4),
    "one view written twice": (one_view_written_twice, None),
    "two precisions": (of_two_precisions, None),
    "pieces of an input": (pieces_of_an_input, None),
    "pieces used again": (pieces_used_again, None),
    "turned and used again": (turned_and_used_again, None),
    "part used again": (part_used_again, None),
    "with itself": (lambda x, y: (x @ A) + (x @ A), 2),
    "memory in steps": (written_in_steps, None),
    "over itself": (over_itself, None),
    "another layout": (in_another_layout, None),
    "nothing at all": (lambda x, y: x, 0),
    "no dependence": (lambda x, y: A * 2, 0),
}
VIEWS = ("view", "reshape", "t", "transpose", "slice", "select", "expand", "unsqueeze", "alias")


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    return {"x": draw[0].clone(), "y": draw[1].clone()}


def tape_of(function):
    return recorded(lambda v: {"z": function(v["x"], v["y"])}, inputs(0))


def operations(tape):
    nodes = [node for node in tape.program.graph.nodes if node.op == "call_function"]
    return [node for node in nodes if node.target.__name__.split(".")[0] not in VIEWS]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_the_function(name):
    function, _ = FUNCTIONS[name]
    tape = tape_of(function)
    for seed in (1, 2, 1):
        given = inputs(seed)
        found = tape(given)["z"]
        expected = function(**inputs(seed))
        assert found.shape == expected.shape
        assert relative(found, expected) < 1e-14
        assert all(torch.equal(given[key], one) for key, one in inputs(seed).items())


@pytest.mark.parametrize(
    "name", [name for name, (_, count) in FUNCTIONS.items() if count is not None]
)
def test_no_more_operations_than_terms(name):
    function, count = FUNCTIONS[name]
    assert len(operations(tape_of(function))) == count


def random_function(seed):
    """A linear program of two dozen operations drawn at random, some of them in place."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return int(torch.randint(count, (), generator=generator))

    steps = [(draw(14), draw(100), draw(100)) for _ in range(24)]

    def function(x, y):
        made = [x, y]
        for kind, i, j in steps:
            a, b = made[i % len(made)], made[j % len(made)]
            match kind:
                case 0 | 1:
                    made.append(a + b)
                case 2:
                    made.append(a - b * 0.5)
                case 3 | 4:
                    made.append(a * A)
                case 5:
                    made.append(a @ A / 4)
                case 6:
                    made.append(B @ a / 4)
                case 7:
                    made.append(a.t())
                case 8:
                    made.append(a * C)
                case 9:
                    made.append(a.sum(1, keepdim=True) * B)
                case 10:
                    made.append(aten.gelu_backward(a, A))
                case 11:
                    made.append(a.clone().mul_(B).add_(b))
                case 12:
                    made.append((a @ B).sub_(b))
                case 13 if not {place(a)} & {place(x), place(y)}:
                    a.view(-1)[:4].add_(b[0]) if a.is_contiguous() else a.mul_(0.5)
        return sum(made[-4:])

    return function


@pytest.mark.parametrize("seed", range(60))
def test_programs_drawn_at_random(seed):
    function = random_function(seed)
    tape, given = tape_of(function), inputs()
    expected = function(**inputs())
    for _ in range(2):
        assert relative(tape(given)["z"], expected) < 1e-13
    assert all(torch.equal(given[key], one) for key, one in inputs().items())


def test_what_was_recorded_is_not_kept():
    """A coefficient takes the place of what it was computed from."""
    tape = tape_of(lambda x, y: (x * A.exp()) * B.exp() + y)
    assert [tuple(one.shape) for one in tape.constants] == [(4, 4)]


IN_PLACE = {
    "a factor": (lambda x, y: (x @ A) * B, [aten.mm.default, aten.mul_.Tensor]),
    "a term": (lambda x, y: (x @ A) + y * C, [aten.mm.default, aten.addcmul_.default]),
    "a product": (lambda x, y: (x @ A) + (y @ B), [aten.mm.default, aten.addmm.out]),
    "a view": (lambda x, y: (x @ A).view(2, 8) * WIDE[:2], [aten.mm.default, aten.mul_.Tensor]),
    "an operand": (chain_used_twice, [aten.mul.Tensor, aten.addmm.default]),
    "an input": (lambda x, y: x * A, [aten.mul.Tensor]),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_nothing_else_needs_is_written_over(name):
    function, targets = IN_PLACE[name]
    assert [node.target for node in operations(tape_of(function))] == targets


def test_what_draws_is_not_merged():
    tape = tape_of(lambda x, y: torch.rand_like(x) - torch.rand_like(x))
    assert bool(tape(inputs())["z"].any())
