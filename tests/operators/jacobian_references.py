"""Dense Jacobians, output Hessians and samples' gradients, by PyTorch alone.

Nothing of the package enters: Jacobians row by row, Hessians by `torch.autograd.functional`,
samples' gradients from batches of one.
"""

import torch
from networks import inputs_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten


def output_of(model, batch):
    """params -> the model's output, its buffers left as they are."""
    args, keywords, _ = inputs_of(batch)
    buffers = {name: b.clone() for name, b in model.named_buffers()}

    def output(params):
        fresh = {name: b.clone() for name, b in buffers.items()}
        with sdpa_kernel(SDPBackend.MATH):
            return torch.func.functional_call(model, {**fresh, **params}, args, keywords)

    return output


def varying(output):
    """The leaves that depend on the parameters."""
    return [leaf for leaf in tree_flatten(output)[0] if leaf.requires_grad]


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def dense_jacobian(output, params):
    """(m, n), the varying leaves' entries one after the other."""
    variables = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    rows = []
    for entry in flat(varying(output(variables))):
        found = torch.autograd.grad(
            entry, list(variables.values()), retain_graph=True, materialize_grads=True
        )
        rows.append(flat(found))
    return torch.stack(rows)


def loss_of_flat(output, params, loss, targets):
    """(loss as a function of the flat varying entries, their values)."""
    leaves, spec = tree_flatten(output(params))
    places = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
    sizes = [leaves[i].numel() for i in places]

    def value(z):
        found = [leaf.detach() for leaf in leaves]
        for i, part in zip(places, z.split(sizes), strict=True):
            found[i] = part.reshape(leaves[i].shape)
        return loss(tree_unflatten(found, spec), targets)

    return value, flat([leaves[i].detach() for i in places])


def dense_gauss_newton(model, loss, batch, params):
    """J' H J."""
    output = output_of(model, batch)
    state = torch.get_rng_state()
    jacobian = dense_jacobian(output, params)
    torch.set_rng_state(state)
    value, z = loss_of_flat(output, params, loss, inputs_of(batch)[2])
    return jacobian.T @ torch.autograd.functional.hessian(value, z) @ jacobian


def sample_gradients(model, loss, data, params):
    """(N, n): the gradient of each sample's loss, from batches of one."""
    rows = []
    for x, y in data:
        for n in range(len(x)):
            output = output_of(model, (x[n : n + 1], y[n : n + 1]))(params)
            found = torch.autograd.grad(
                loss(output, y[n : n + 1]), list(params.values()), materialize_grads=True
            )
            rows.append(flat(found))
    return torch.stack(rows)
