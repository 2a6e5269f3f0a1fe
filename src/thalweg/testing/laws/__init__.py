"""The laws, by what they are about; importing this puts all of them on the shelf."""

from thalweg.testing.laws import (
    gradients,
    groups,
    parameters,
    refusals,
    schedules,
    sparse,
    state,
    stepping,
)

__all__ = [
    "gradients",
    "groups",
    "parameters",
    "refusals",
    "schedules",
    "sparse",
    "state",
    "stepping",
]
