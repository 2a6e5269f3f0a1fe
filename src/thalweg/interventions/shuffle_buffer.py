"""A shuffle buffer between a script's batches and its model, for batches that a script cuts itself.

Each batch is replaced by as many samples drawn at random from those seen before and its own; what
is drawn of the data where it enters is drawn of the targets where outputs meet them. From the
second pass over the data on that is sampling from all of it; in the first one the order still
shows, as with any shuffle buffer. A sample is known by its content, so that each is kept once.

Memory: the samples, up to ``MOST_BYTES``; those that come later take the place of random others.
"""

from __future__ import annotations

import torch

from thalweg.interventions.intervention import InterventionError
from thalweg.interventions.training_loss import put, targets_of
from thalweg.recorder.entering import Piece, entering
from thalweg.recorder.sample_keys import joined, row_keys
from thalweg.recorder.session import Call

MOST_BYTES = 256 << 20


class ShuffleBuffer:
    """Mixes the samples of batches with those of batches before.

    Args:
        generator: Whose random stream to draw from.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._random = generator
        self._samples: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._known: set[int] = set()
        self._bytes = 0
        self.end()

    def end(self) -> None:
        """The loss has been differentiated: another batch comes."""
        self._own: torch.Tensor | None = None
        self._mixed = torch.empty(0)
        self._drawn: list[int] = []
        self._targets: tuple[torch.Tensor, torch.Tensor] | None = None

    def rewrite(self, call: Call) -> None:
        """Replace the data that enters in this call, or the targets that it is given.

        Raises:
            InterventionError: If data and targets are not one tensor each, sample by sample.
        """
        piece = entering(call)
        if piece is not None:
            self._enter(call, piece)
        elif self._own is not None and (found := targets_of(call)) is not None:
            place, targets = found
            if targets.dim() and len(targets) == len(self._own):
                put(call, place, self._meet(self._own, targets))

    def _enter(self, call: Call, piece: Piece) -> None:
        data = piece.data
        if _is_one_row(data) or (self._own is not None and len(data) != len(self._own)):
            return  # an initial state, positions: the same whoever comes
        if self._own is None:
            self._own, self._drawn = data, self._draw(len(data))
            kept = [rows for rows, _ in self._samples]
            self._mixed = _taken(self._drawn, kept, data)
        elif data is not self._own:
            raise InterventionError(
                "shuffling: the data of a batch enters in several pieces, which cannot be mixed "
                "with other batches from outside"
            )
        call.args = tuple(self._mixed if one is data else one for one in call.args)
        call.kwargs = {k: self._mixed if one is data else one for k, one in call.kwargs.items()}

    def _draw(self, count: int) -> list[int]:
        """Positions among the kept samples and, behind them, those of the batch."""
        all_of_them = (len(self._samples) + count,)
        return torch.randint(*all_of_them, (count,), generator=self._random).tolist()

    def _meet(self, data: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self._targets is None:
            mixed = _taken(self._drawn, [one for _, one in self._samples], targets)
            self._targets = (targets, mixed)
            self._keep(data.detach(), targets.detach())
        if self._targets[0] is not targets:
            raise InterventionError(
                "shuffling: the outputs of a batch meet several targets, which cannot be mixed "
                "with those of other batches from outside"
            )
        return self._targets[1]

    def _keep(self, data: torch.Tensor, targets: torch.Tensor) -> None:
        keys = joined(row_keys(data), row_keys(targets)).tolist()
        for key, row, target in zip(keys, data.clone(), targets.clone(), strict=True):
            if key in self._known:
                continue
            self._known.add(key)
            if self._bytes < MOST_BYTES:
                self._samples.append((row, target))
                self._bytes += row.numel() * row.element_size()
            else:
                at = int(torch.randint(len(self._samples), (), generator=self._random))
                self._samples[at] = (row, target)


def _is_one_row(data: torch.Tensor) -> bool:
    return bool((data == data[:1]).all())


def _taken(places: list[int], kept: list[torch.Tensor], own: torch.Tensor) -> torch.Tensor:
    """Rows by their places: those kept first, then those of the batch."""
    count = len(kept)
    rows = [kept[at] if at < count else own[at - count] for at in places]
    if any(row.shape != own.shape[1:] for row in rows):
        raise InterventionError(
            "shuffling: samples of different sizes, which make no batch of their own"
        )
    return torch.stack(rows)
