"""Optimizers that look at a weight matrix as a matrix."""

from thalweg.optim.classes.making import optimizer_class
from thalweg.optim.classes.switches import UNFUSED
from thalweg.optim.rules import adafactor, adam, muon, shampoo, soap
from thalweg.optim.wrappers import decoupled, for_matrices, maximize, weight_decay

Muon = optimizer_class(
    "Muon",
    decoupled(muon),
    (
        *("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps"),
        "adjust_lr_fn",
    ),
    flags={},
    weight_decay=0.1,
    module="thalweg.optim",
)

MuonAdamW = optimizer_class(
    "MuonAdamW",
    maximize(for_matrices(decoupled(muon), otherwise=decoupled(adam))),
    ("lr", "weight_decay", "momentum", "betas"),
    flags=UNFUSED,
    weight_decay=0.1,
    adjust_lr_fn="match_rms_adamw",
    flatten=True,
    module="thalweg.optim",
    doc=f"""MuonAdamW: Muon for the matrices, AdamW for all other parameters.

It takes all of a model's parameters. Matrices, and tensors of more dimensions as matrices of their
first against all others (`flatten`), are Muon's; vectors and numbers are AdamW's. Put embeddings
and the last layer in a group with `matrices=False`, which gives them to AdamW too:

    MuonAdamW([{{"params": hidden}}, {{"params": [*embedding, *head], "matrices": False}}], lr=1e-3)

Muon's steps are as long as AdamW's by default (`adjust_lr_fn="match_rms_adamw"`), so that one
learning rate serves both. With `adjust_lr_fn="original"` take lr=0.02, and lr_ratio=0.015 for an
AdamW at 3e-4.

{muon.doc}""",
)

Adafactor = optimizer_class(
    "Adafactor",
    maximize(adafactor),
    ("lr", "beta2_decay", "eps", "d", "weight_decay"),
    flags={"foreach": None},
    module="thalweg.optim",
)

Shampoo = optimizer_class(
    "Shampoo",
    maximize(weight_decay(shampoo)),
    ("lr", "momentum", "weight_decay", "eps", "precondition_frequency"),
    flags=UNFUSED,
    module="thalweg.optim",
)

SOAP = optimizer_class(
    "SOAP",
    maximize(decoupled(soap)),
    ("lr", "betas", "shampoo_beta", "eps", "weight_decay", "precondition_frequency"),
    flags=UNFUSED,
    weight_decay=1e-2,
    module="thalweg.optim",
)
