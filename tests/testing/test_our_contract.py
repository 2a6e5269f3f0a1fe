"""Our own optimizers keep the contract that `thalweg.testing` holds anyone's to."""

import pytest

from thalweg.optim import OPTIMIZERS
from thalweg.testing import check_optimizer

FIRST_STEP_ONLY = "lr is the size of the first step only, which is never below the smallest"
WAIVED = {
    "rprop": dict.fromkeys(["zero-rate", "rate-acts-at-once", "schedulers"], FIRST_STEP_ONLY),
    "asgd": {"rate-acts-at-once": "as PyTorch's, it reckons a step's rate at the end of the last"},
    "coordinatedescent": dict.fromkeys(
        ["groups-have-settings-of-their-own", "group-added-later", "order-of-parameters"],
        "it moves one coordinate a step, in order, and does not come to the second parameter",
    ),
    "prodigy": {"every-floating-type": "float16 cannot hold d^2 g^2 at first; its page says so"},
    "sgdwithhistory": {"zero-rate": "tau times the last gradient is added whatever lr is"},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_keeps_the_contract(name):
    check_optimizer(OPTIMIZERS[name], waived=WAIVED.get(name))


@pytest.mark.parametrize("form", ["together", "blocks"])
@pytest.mark.parametrize("name", ["sgd", "adam", "radam"])
def test_so_does_every_form(name, form):
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    check_optimizer(OPTIMIZERS[name], form=form, **momentum)
