"""Named parameters to one flat vector and back."""

import pytest
import torch

from thalweg.operators import Layout

PARAMS = {
    "w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "none": torch.ones(0),
    "b": torch.tensor(5.0),
}


def test_there_and_back():
    layout = Layout.of(PARAMS)
    flat = layout.flatten(PARAMS)
    assert flat.tolist() == [1, 2, 3, 4, 5]
    assert layout.size == 5
    for name, tensor in layout.unflatten(flat).items():
        assert torch.equal(tensor, PARAMS[name])


def test_parts_keep_their_precision_and_the_vector_has_the_widest():
    params = {"a": torch.ones(1, dtype=torch.bfloat16), "b": torch.ones(1, dtype=torch.float32)}
    layout = Layout.of(params)
    assert layout.flatten(params).dtype == torch.float32
    assert [p.dtype for p in layout.unflatten(torch.ones(2)).values()] == [
        torch.bfloat16,
        torch.float32,
    ]


def test_order_is_the_layouts_whatever_the_dicts():
    layout = Layout.of(PARAMS)
    assert layout.flatten(dict(reversed(PARAMS.items()))).tolist() == [1, 2, 3, 4, 5]


def test_a_view_of_another_shape_is_not_taken_for_a_tie():
    whole = torch.ones(4)
    assert Layout.of({"first": whole[:2], "second": whole[2:]}).size == 4


def test_says_what_does_not_fit():
    layout = Layout.of(PARAMS)
    with pytest.raises(ValueError, match=r"names differ from the layout's in \['b'\]"):
        layout.flatten({"w": PARAMS["w"], "none": PARAMS["none"]})
    with pytest.raises(ValueError, match=r"'b' has shape \(2,\); the layout has \(\)"):
        layout.flatten({**PARAMS, "b": torch.ones(2)})
    with pytest.raises(ValueError, match=r"5 numbers; got a vector of shape \(4,\)"):
        layout.unflatten(torch.ones(4))
