"""Networks on which curvature tools have tripped, each with a loss and ragged batches of data.

`NETWORKS` has functions that make (model, loss, batches), in double precision: the loss is a mean
over its batch, and the last batch is shorter than the others.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SIZES = (4, 4, 3)
NETWORKS = {}


def network(make):
    """Register make() -> (model, loss, batches)."""
    NETWORKS[make.__name__] = make
    return make


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def regression(model, features, outputs, loss=F.mse_loss):
    """`model` on random inputs and targets of these shapes."""
    batches = [(normal(n, *features), normal(n, *outputs)) for n in SIZES]
    return model.double(), loss, batches


def classification(model, features, classes=3):
    """`model` on random inputs of this shape and random labels."""
    batches = [(normal(n, *features), torch.randint(0, classes, (n,))) for n in SIZES]
    return model.double(), F.cross_entropy, batches


@network
def mlp():
    return classification(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), (4,))


@network
def convolution_and_batch_norm_in_train_mode():
    body = nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten()
    return classification(nn.Sequential(*body, nn.Linear(8, 3)), (1, 4, 4))


@network
def dropout_in_train_mode():
    body = nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, 3)
    return classification(nn.Sequential(*body), (4,))


@network
def encoder_layer_in_train_mode():
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, dropout=0.2, batch_first=True)
    return regression(layer, (3, 4), (3, 4))


@network
def encoder_layer_in_eval_mode():
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, batch_first=True)
    return regression(layer.eval(), (3, 4), (3, 4))


class Attention(nn.Module):
    """One causal head, by the fused kernel."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x):
        return F.scaled_dot_product_attention(*self.qkv(x).split(4, -1), is_causal=True)


@network
def attention():
    return regression(Attention(), (3, 4), (3, 4))


@network
def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return regression(model, (4,), (4,))


@network
def frozen():
    model, *rest = mlp()
    model[0].weight.requires_grad_(False)
    return model, *rest


@network
def unused():
    model, *rest = mlp()
    model.register_parameter("idle", nn.Parameter(normal(2, 2)))
    return model, *rest


class Heads(nn.Module):
    """Two outputs in a dict, of two inputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 2), nn.Bilinear(3, 2, 2)

    def forward(self, x, z):
        return {"left": self.left(x).tanh(), "both": (self.right(x, z), z)}


@network
def several_inputs_and_outputs():
    def loss(output, targets):
        left, (right, z) = output["left"], output["both"]
        return (left * right - targets).square().mean() + (left * z).pow(4).mean()

    batches = [((normal(n, 3), normal(n, 2)), normal(n, 2)) for n in SIZES]
    return Heads().double(), loss, batches


@network
def keyword_inputs():
    batches = [{"x": normal(n, 3), "z": normal(n, 2)} for n in SIZES]
    return Heads().double(), lambda out, _: out["both"][0].pow(3).mean(), batches


@network
def recurrent():
    model, _, batches = regression(nn.LSTM(2, 3, batch_first=True), (4, 2), (4, 3))
    return model, lambda out, y: F.mse_loss(out[0], y), batches


def inputs_of(batch):
    """Positional and keyword arguments of the model, and the targets."""
    if isinstance(batch, dict):
        return (), batch, batch
    inputs, targets = batch
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}, targets


def batch_loss(model, loss, batch, params):
    """The loss of one batch; nothing of the package under test enters."""
    args, keywords, targets = inputs_of(batch)
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    given = {**buffers, **params}
    output = torch.func.functional_call(model, given, args, keywords)
    return loss(output, targets)


def dense_hessian(function, params):
    """The Hessian of a function of a parameter dict, row by row from the function itself."""
    names, shapes = list(params), [p.shape for p in params.values()]
    sizes = [shape.numel() for shape in shapes]
    flat = torch.cat([p.detach().reshape(-1) for p in params.values()])

    def of_flat(w):
        parts = (x.reshape(s) for x, s in zip(w.split(sizes), shapes, strict=True))
        return function(dict(zip(names, parts, strict=True)))

    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(of_flat, flat)


def trainable(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def relative(found, expected):
    """The distance of two matrices, relative to the second."""
    return float((found - expected).norm() / expected.norm())
