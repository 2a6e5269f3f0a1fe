"""The loss of a whole step, of all its backward passes, as a function of the leaves.

Each pass leaves a tape, and gradients add up from pass to pass: what the update is made of is the
gradient of the sum of their losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from thalweg.recorder.tape import Tape, TapeError


def replayed(tapes: Sequence[Tape], given: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """The sum of the tapes' losses.

    Args:
        tapes: One for each backward pass.
        given: Values of leaves by the leaves' identity; the others stay as they are now.

    Raises:
        TapeError: There is no tape, or one cannot be played.
    """
    if not tapes:
        raise TapeError("no backward pass was recorded in this step")
    parts = [tape.loss(values_of(tape, given)) for tape in tapes]
    return sum(parts[1:], parts[0])


def values_of(tape: Tape, given: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
    """The same values by the leaves' places on one tape."""
    return {at: given[id(leaf)] for at, leaf in enumerate(tape.leaves) if id(leaf) in given}
