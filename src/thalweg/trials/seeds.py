"""Give a script another random stream, although it hard-codes its seed.

Within :func:`shifted` every seed that the script states, k times shifted, becomes ``seed + k *
1000003``, modulo 2**32 where the generator takes no more: ``torch.manual_seed``,
``torch.Generator.manual_seed``, ``random.seed``, ``numpy.random.seed``,
``numpy.random.default_rng`` and ``numpy.random.RandomState``. Only explicit numbers are shifted;
generators made from arrays, ``SeedSequence`` or other generators keep what they were given.

What a script leaves to chance is made repeatable, so that trials see one stream: python, numpy and
torch are seeded with k at the start, and a generator asked for without a seed gets one that depends
on k and on how many were asked for before. So shift 0 with a script that seeds itself is exactly
the script's own numbers, and with one that does not is the same numbers in every trial. A script
that states the time of day has the first run's seeds again (:mod:`thalweg.trials.stated_seeds`).

Not reached: CUDA generators seeded by ``torch.cuda.manual_seed`` (``torch.manual_seed`` reaches
them), ``random.Random`` and ``numpy.random.Generator`` objects built from a bit generator,
``os.urandom``, and names bound by a ``from`` import in a module imported before.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any
from unittest.mock import patch

import numpy
import torch

from thalweg.trials.stated_seeds import StatedSeeds

STRIDE = 1000003
"""Distance of two streams: a prime, so that scripts that count seeds up do not meet themselves."""

Seeder = Callable[[Any], Any]


@contextmanager
def shifted(shift: int, stated: StatedSeeds | None = None) -> Iterator[None]:
    """Seed everything with ``shift`` and, while the context lasts, move every stated seed.

    Args:
        shift: the number of the stream, 0 for the script's own.
        stated: what notes the stated seeds, before their shift, and may take others instead.

    Raises:
        ValueError: ``shift`` is negative.
    """
    if shift < 0:
        raise ValueError(f"shifted({shift}): streams are numbered from 0, the script's own.")
    random.seed(shift)
    numpy.random.seed(shift)
    torch.manual_seed(shift)
    move = functools.partial(_moved, shift, itertools.count(1), stated or StatedSeeds())
    with ExitStack() as patches:
        for place, name, replacement in _replacements(move):
            patches.enter_context(patch.object(place, name, replacement))
        yield


def _moved(shift: int, unseeded: Iterator[int], stated: StatedSeeds, seed: Any) -> Any:
    """``seed`` on the ``shift``-th stream; for None, the next of the seeds nobody stated."""
    if seed is None:
        return (shift * STRIDE + next(unseeded)) % 2**32
    if not isinstance(seed, Integral | float):
        return seed
    return stated.settled(int(seed) if isinstance(seed, Integral) else seed) + shift * STRIDE


def _replacements(move: Seeder) -> Iterator[tuple[Any, str, Any]]:
    """What to put in the place of what: (module, name, replacement)."""
    small = functools.partial(_below, 2**32, move)
    torch_seed = _seeding(torch.manual_seed, functools.partial(_rounded, move), "seed")
    yield torch, "manual_seed", torch_seed
    yield torch.random, "manual_seed", torch_seed
    yield torch, "seed", lambda: torch_seed(move(None)).initial_seed()
    yield torch, "Generator", _generator(torch.Generator, move)
    yield random, "seed", _seeding(random.seed, move, "a", None)
    yield numpy.random, "seed", _seeding(numpy.random.seed, small, "seed", None)
    yield numpy.random, "default_rng", _seeding(numpy.random.default_rng, move, "seed", None)
    yield numpy.random, "RandomState", _random_state(numpy.random.RandomState, small)


def _below(limit: int, move: Seeder, seed: Any) -> Any:
    """A moved integer modulo ``limit``; one that was out of range stays so, for its own error."""
    inside = isinstance(seed, Integral) and 0 <= int(seed) < limit
    return move(seed) % limit if inside or seed is None else seed


def _wrapped(move: Seeder, seed: Any) -> Any:
    """A moved seed for torch, which takes any integer of 64 bits, signed or not."""
    if not isinstance(seed, Integral):
        return seed
    moved = int(move(seed))
    return moved if moved < 2**64 else moved - 2**64


def _rounded(move: Seeder, seed: Any) -> Any:
    """A moved seed for ``torch.manual_seed``, which makes integers of other numbers itself."""
    return _wrapped(move, int(seed) if isinstance(seed, float) else seed)


_REQUIRED = object()


def _seeding(
    original: Callable[..., Any], move: Seeder, name: str, default: Any = _REQUIRED
) -> Any:
    """``original`` with its first parameter, called ``name``, moved."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args:
            return original(move(args[0]), *args[1:], **kwargs)
        if name in kwargs or default is not _REQUIRED:
            kwargs[name] = move(kwargs.get(name, default))
        return original(**kwargs)

    return call


def _generator(base: type, move: Seeder) -> type:
    meta = _counting_instances_of(base)

    class Generator(base, metaclass=meta):  # type: ignore[misc, metaclass]
        """A torch generator whose stated seeds are moved."""

        def manual_seed(self, seed: Any) -> Any:
            return super().manual_seed(_wrapped(move, seed))

        def seed(self) -> int:
            moved = int(move(None))
            super().manual_seed(moved)
            return moved

    return Generator


def _random_state(base: type, move: Seeder) -> type:
    meta = _counting_instances_of(base)

    class RandomState(base, metaclass=meta):  # type: ignore[misc, metaclass]
        """A numpy random state whose stated seeds are moved."""

        def __init__(self, seed: Any = None) -> None:
            super().__init__(move(seed))

        def seed(self, seed: Any = None) -> None:
            super().seed(move(seed))

    return RandomState


def _counting_instances_of(original: type) -> type[type]:
    """A metaclass for a stand-in: every instance of ``original`` is an instance of it too.

    Libraries that ask ``isinstance(x, numpy.random.RandomState)`` of numpy's global state must get
    the answer that they always got.
    """

    class Meta(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original)

    return Meta
