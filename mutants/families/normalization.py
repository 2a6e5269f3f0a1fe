"""Normalization of inputs and hidden layers, and initialization."""

from mutants.families.suites import training
from mutants.mutant import of

DRAWN = training("initialization", "variance_through_layers")

MUTANTS = [
    *of(
        "training/normalization/axes.py",
        training("normalization_axes"),
        (
            '"batch": (0, *space), "instance"',
            '"batch": (0,), "instance"',
            "batch over samples alone",
        ),
        ("(2, *space))", "(2,))", "layer normalization without space"),
        (
            "(rest.square().mean(over, keepdim=True) + eps).sqrt()",
            "rest.square().mean(over, keepdim=True).sqrt()",
            "epsilon is forgotten",
        ),
        (
            "groups, x.shape[1] // groups, *x.shape[2:])",
            "x.shape[1] // groups, groups, *x.shape[2:]).transpose(1, 2)",
            "channels of a group are not neighbours",
        ),
    ),
    *of(
        "training/normalization/moments.py",
        training("input_normalization"),
        ("products * (a.count * b.count / n)", "products * b.count", "Chan's weight"),
        ("a.mean + delta * (b.count / n)", "a.mean + delta / 2", "batches of one size"),
        (
            "return self.scatter / self.count",
            "return self.scatter / (self.count - 1)",
            "over n - 1",
        ),
    ),
    *of(
        "training/normalization/whitening.py",
        training("input_normalization"),
        (
            "values.argsort(descending=True)[:components]",
            "values.argsort()[:components]",
            "the directions of least variance",
        ),
        ("torch.where(roots > 0, 1 / roots, 0.0)", "1 / roots", "a constant becomes infinite"),
        ("vectors * inverse(roots) @ vectors.T", "vectors * inverse(roots)", "ZCA is PCA"),
        ("axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()", "1", "any sign"),
    ),
    *of(
        "training/normalization/inputs.py",
        training("input_normalization"),
        ("variance > 0, variance.sqrt(), 1.0)", "variance > 0, variance, 1.0)", "by the variance"),
        (
            "        if self.fitted:\n            raise",
            "        if False:\n            raise",
            "fitted again on whatever comes",
        ),
        ("if count <= d or", "if count < d or", "a covariance that has no full rank"),
        ("max([ROUNDING, *own])", "0 * max([ROUNDING, *own])", "rounding is variance"),
        (
            "    elif isinstance(train, tuple) and len(train) == 2:\n        train = [train]",
            "    elif False:\n        train = [train]",
            "targets are inputs",
        ),
        (
            "self.mean + times(row, self.back)",
            "times(row, self.back)",
            "the inverse loses the mean",
        ),
        (
            ".movedim(self.axis, -1).to(torch.float64)",
            ".movedim(1, -1).to(torch.float64)",
            "axis is not looked at",
        ),
    ),
    *of(
        "training/normalization/places.py",
        training("insert_normalization"),
        (
            "if after is not None and leads_to_a_layer(after, modules):",
            "if after is not None:",
            "the output's own activation is normalized",
        ),
        ("(_NormBase, nn.LayerNorm", "(nn.LayerNorm", "batch norm is a layer like others"),
        ("is_one(user, modules, NORMALIZATIONS, set())\n", "False\n", "normalized twice"),
        (
            "m.modules()) or is_traceable(m))",
            "m.modules()))",
            "nonlinearities of one's own are missed",
        ),
        (
            "        return False\n    return True\n",
            "        return True\n    return True\n",
            "what cannot be read is read",
        ),
    ),
    *of(
        "training/normalization/insertion.py",
        training("insert_normalization"),
        (
            'where == "before" if affine is None',
            'where == "after" if affine is None',
            "scale and shift after, none before",
        ),
        (
            'inner.register_parameter("bias", None)',
            "pass",
            "a bias that is subtracted again is trained",
        ),
        (
            '("batch", "instance")  # they',
            '("batch", "instance", "layer")  # they',
            "layer normalization takes the bias away",
        ),
        ('if place.uses[where == "after"] > 1:', "if False:", "uses share their statistics"),
    ),
    *of(
        "training/normalization/layers.py",
        training("insert_normalization"),
        (
            "return (norm if space else FeaturesLast(norm))",
            "return norm",
            "time is taken for features",
        ),
        ("if norm.training and len(given[0]) < 2:", "if False:", "a batch of one becomes zeros"),
        (".train(layer.training)\n\n\ndef checked", "\n\n\ndef checked", "always in training mode"),
    ),
    *of(
        "training/initialization/variance.py",
        DRAWN,
        (
            "2.0 * squared_gain / (fan_in + fan_out)",
            "squared_gain / (fan_in + fan_out)",
            "Glorot without his 2",
        ),
        (
            'if kind == "he" else 1.0) / fan_in',
            'if kind == "he" else 1.0) / fan_out',
            "fan_out for fan_in",
        ),
    ),
    *of(
        "training/initialization/gain.py",
        training("initialization"),
        ("return 1 / second", "return 1 / second**0.5", "the gain for its square"),
        (
            "z = starts[:, None] + (nodes + 1) / 2",
            "z = starts[:, None] + nodes / 2",
            "kinks within the intervals",
        ),
    ),
    *of(
        "training/initialization/fans.py",
        training("initialization"),
        (
            "return reached / strides, reaches",
            "return reached, reaches / strides",
            "a transposed convolution the wrong way round",
        ),
        ("layer.in_channels // layer.groups * k,", "layer.in_channels * k,", "groups are one"),
    ),
    *of(
        "training/initialization/scheme.py",
        DRAWN,
        ("- 1) * 3**0.5", "- 1)", "a uniform number has variance 1/3"),
        (
            "self.random) * self.squared_gain**0.5",
            "self.random) * self.squared_gain",
            "the square of the gain",
        ),
    ),
    *of(
        "training/initialization/plans.py",
        training("initialization"),
        ("FORGET: Final = 1", "FORGET: Final = 0", "the input gate stays open"),
        (
            "stacked(module.in_proj_weight, scheme, 3)",
            "stacked(module.in_proj_weight, scheme, 1)",
            "q, k and v are one matrix",
        ),
        ('(1 if "_hr" in name else gates)', "1", "gates are one matrix"),
        ("rows[layer.padding_idx] = 0", "pass", "the padding has a meaning"),
        ('"_hh" in name else apart', '"_ih" in name else apart', "states meet states by chance"),
    ),
    *of(
        "training/initialization/initialize.py",
        training("initialization"),
        ('default = "relu" if base == "he" else "linear"', 'default = "linear"', "he without 2"),
        (
            "key=lambda item: isinstance(item[1], EMBEDDINGS))",
            "key=lambda item: 0)",
            "a shared weight is an embedding's",
        ),
        ("if not parameter.requires_grad or any(", "if any(", "frozen weights are drawn"),
        ("    refuse([name for", "    list([name for", "parameters without a rule stay, unsaid"),
    ),
    *of(
        "training/initialization/fixup.py",
        DRAWN,
        ("(-1 / (2 * len(inner)))", "(-1 / (2 * len(inner) + 2))", "m for m - 1"),
        ("times(last.weight, 0.0, drawn)", "pass", "branches do not begin at zero"),
    ),
    *of(
        "training/initialization/lsuv.py",
        training("initialization"),
        (
            "            return output / deviation\n",
            "            return output\n",
            "the next layers see what was",
        ),
        ("waiting.remove(id(layer.weight))", "pass", "a shared layer is scaled twice"),
        ("        restore_random(random)\n", "        pass\n", "dropout's stream goes on"),
        ("            buffer.copy_(held[name])\n", "            pass\n", "running statistics move"),
    ),
]
