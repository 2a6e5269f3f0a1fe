"""How near a class comes to PyTorch's of the same name."""

import torch

EXACT = {"rtol": 0.0, "atol": 0.0}

# These take their sums in another order than PyTorch, which is much faster: equal to rounding.
OTHER_SUMS = {"adafactor"}

# Units of rounding that a parameter of size one may differ by after a few steps: one a step where
# every result is rounded to two digits, more where the gradients too come from other parameters.
UNITS = {torch.bfloat16: 4, torch.float32: 64, torch.float64: 64}


def nearness(name, dtype=torch.float32):
    """What `assert_close` is to hold a class to, beside PyTorch's: the same bits, if it can be."""
    if name.lower() not in OTHER_SUMS:
        return EXACT
    rounding = UNITS[dtype] * torch.finfo(dtype).eps
    return {"rtol": rounding, "atol": rounding}
