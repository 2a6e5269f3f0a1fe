"""Gauss-Newton blocks and Kronecker factors from their definitions, by loops over samples.

Nothing here uses the operators: `torch.autograd.functional` differentiates the model as a whole,
and the loss in the output.
"""

from contextlib import contextmanager

import torch
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

LINEAR = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def dense_gauss_newton(model, loss, inputs, targets, params=None):
    """J'HJ of the whole batch, as a dict of (name, name) to blocks."""
    params = params or parameters(model)
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    output = functional_call(model, params, args)
    h = hessian(lambda z: loss(z, targets), output.detach()).reshape(output.numel(), -1)
    names = tuple(params)
    rows = jacobian(
        lambda *p: functional_call(model, dict(zip(names, p, strict=True)), args),
        tuple(params.values()),
    )
    rows = {n: j.reshape(output.numel(), -1) for n, j in zip(names, rows, strict=True)}
    return {(a, b): rows[a].T @ h @ rows[b] for a in rows for b in rows}


def block_of(blocks, names):
    return torch.cat([torch.cat([blocks[a, b] for b in names], 1) for a in names], 0)


@contextmanager
def shifted(module, shift):
    """`module` with `shift` added to its output."""
    handle = module.register_forward_hook(lambda _, __, output: output + shift)
    try:
        yield
    finally:
        handle.remove()


def inputs_and_jacobian(model, module, sample):
    """What enters `module` for one sample, and d(output)/d(output of module), (D, *shape)."""
    seen = {}
    handle = module.register_forward_hook(lambda _, args, out: seen.update(a=args[0], z=out))
    model(sample)
    handle.remove()

    def output(shift):
        with shifted(module, shift):
            return model(sample).reshape(-1)

    return seen["a"].detach(), jacobian(output, torch.zeros_like(seen["z"]))


def factors_by_loops(model, name, loss, inputs, targets, *, reduce=False, patches=None):
    """The two Kronecker factors of a layer applied to (1, T, q) for every sample.

    loss: of one sample's output and target; the mean over samples is meant.
    patches: from a layer's input to (T, q); by default the input's own rows.
    """
    module, count = dict(model.named_modules())[name], len(inputs)
    left, right, positions = 0, 0, 0
    for n in range(count):
        sample, target = inputs[n : n + 1], targets[n : n + 1]
        a, rows_of = inputs_and_jacobian(model, module, sample)
        rows = patches(a) if patches else a.reshape(-1, a.shape[-1])
        if isinstance(module, torch.nn.Linear):
            g = rows_of.reshape(len(rows_of), -1, rows_of.shape[-1])
        else:  # channels first
            g = rows_of.reshape(len(rows_of), rows_of.shape[2], -1).mT
        if module.bias is not None:
            rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
        if reduce:
            rows, g = rows.mean(0, keepdim=True), g.sum(1, keepdim=True)
        z = model(sample).detach()
        h = hessian(lambda z, target=target: loss(z, target), z).reshape(z.numel(), -1)
        for row in rows:
            right = right + torch.outer(row, row)
        positions += len(rows)
        for t in range(g.shape[1]):
            left = left + g[:, t].T @ h @ g[:, t] / count
    return left, right / positions


def kronecker_of(left, right, shape):
    """left (x) right over a weight (p, q), and over its bias behind it where right is wider."""
    p, q = len(left), len(right)
    matrix = torch.kron(left, right)
    if p * q == shape.numel():
        return matrix
    order = torch.arange(p * q).reshape(p, q)
    order = torch.cat([order[:, :-1].reshape(-1), order[:, -1]])
    return matrix[order][:, order]


def close(actual, expected, tolerance=1e-12, scale=None):
    """Relative to the largest entry, or to `scale`."""
    scale = float(expected.abs().max()) if scale is None else scale
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * max(scale, 1e-300))


def dense_block(operator, names):
    """The rows and columns of some parameters in an operator's matrix."""
    layout = operator.layout
    ends = torch.tensor([shape.numel() for shape in layout.shapes]).cumsum(0).tolist()
    places = dict(zip(layout.names, zip([0, *ends], ends, strict=False), strict=True))
    index = torch.cat([torch.arange(*places[name]) for name in names])
    return operator.to_dense()[index][:, index]
