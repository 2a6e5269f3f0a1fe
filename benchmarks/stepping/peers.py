"""The same rules in other libraries: heavyball, pytorch_optimizer, and optax under jit.

Each is measured as its users get it, with the hyperparameters' own defaults where these do not
change what is computed. A library that is not installed is left out.
"""

from functools import partial
from importlib import import_module
from importlib.util import find_spec

from stepping.contestants import OPTIONS, Contestant, torch_optimizer

# Our name -> theirs, where they differ in more than capitals and underscores.
HEAVYBALL = {"adam": "AdamW", "adamwschedulefree": "SFAdamW"}  # its AdamW decays only if told to
PYTORCH_OPTIMIZER = {
    "adamwschedulefree": "schedulefreeadamw",
    "sgdschedulefree": "schedulefreesgd",
    "sophia": "sophiah",
}
OPTAX = {"adamwschedulefree": "schedule_free_adamw", "sgdschedulefree": "schedule_free_sgd"}
# Hyperparameters without which theirs would be another rule than ours.
HEAVYBALL_OPTIONS = {"sgd": {"beta": 0.9}, "adamw": {"weight_decay": 1e-2}}
OPTAX_OPTIONS = {"adamw": {"weight_decay": 1e-2}}
LIBRARIES = ("heavyball", "pytorch_optimizer", "optax")


def peers(name, libraries, device):
    """The contestants for our optimizer of this name."""
    find = {"heavyball": _heavyball, "pytorch_optimizer": _pytorch_optimizer, "optax": _optax}
    installed = [library for library in libraries if find_spec(library)]
    found = (find[library](name, device) for library in installed)
    return [contestant for contestant in found if contestant is not None]


def _heavyball(name, device):
    kind = _named(import_module("heavyball"), HEAVYBALL.get(name, name))
    options = HEAVYBALL_OPTIONS.get(name, {})
    return kind and torch_optimizer("heavyball", kind, options, own_gradients=True)


def _pytorch_optimizer(name, device):
    library = import_module("pytorch_optimizer")
    name = PYTORCH_OPTIMIZER.get(name, name)
    if name not in library.get_supported_optimizers():
        return None
    kind = library.load_optimizer(name)
    if kind.__module__.startswith("torch."):  # PyTorch's own class under another roof
        return None
    return torch_optimizer("pytorch_optimizer", kind, OPTIONS.get(name, {}), own_gradients=True)


def _optax(name, device):
    if device != "cpu":
        return None
    optax = import_module("optax")
    wanted = OPTAX.get(name, name)
    make = _named(optax, wanted) or _named(import_module("optax.contrib"), wanted)
    if make is None:
        return None
    options = {**OPTIONS.get(name, {}), **OPTAX_OPTIONS.get(name, {})}
    rule = partial(make, learning_rate=1e-3, **options)
    return Contestant("optax", lambda model: Jitted(rule(), model))


def _named(module, name):
    flat = lambda word: word.replace("_", "").lower()
    found = [each for each in dir(module) if flat(each) == flat(name)]
    return next((x for x in (getattr(module, each) for each in found) if callable(x)), None)


class Jitted:
    """An optax transformation, compiled, that writes over its parameters and state."""

    def __init__(self, rule, model):
        jax, numpy = import_module("jax"), import_module("jax.numpy")
        take = lambda tensors: [numpy.array(x.numpy(), copy=True) for x in tensors]
        self.wait = jax.block_until_ready
        self.rule, self.params, self.gradients = rule, take(model.tensors), take(model.gradients)
        # Copied, as some rules keep the parameters they began with, and no array is donated twice.
        self.state = jax.tree.map(lambda x: numpy.array(x, copy=True), rule.init(self.params))
        self.compiled = None

    def ready(self):
        pass

    def step(self):
        if self.compiled is None:
            self.compiled = self._compile()
        self.params, self.state = self.wait(self.compiled(self.gradients, self.state, self.params))

    def _compile(self):
        jax, optax = import_module("jax"), import_module("optax")

        @partial(jax.jit, donate_argnums=(1, 2))
        def advance(gradients, state, params):
            updates, state = self.rule.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        return advance.lower(self.gradients, self.state, self.params).compile()

    def extra_bytes(self):
        """What XLA reserves for a step beyond its arguments; outputs lie where arguments lay."""
        memory = self.compiled.memory_analysis()
        outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
        return memory.temp_size_in_bytes + outputs
