"""The loss of an update, from the tapes of its backward passes, as a method asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from thalweg.minimize.at_hand import Parts, StepLoss
from thalweg.recorder.cut import Cut, cut
from thalweg.recorder.replay import replayed, values_of
from thalweg.recorder.tape import Tape, TapeError

Values = Mapping[str, torch.Tensor]


def taped_loss(
    tapes: Sequence[Tape],
    params: Sequence[torch.Tensor],
    *,
    maximize: bool = False,
    seen: bool = True,
) -> StepLoss:
    """The sum of the tapes' losses as a function of the parameters by their places, "0", "1", ...

    Args:
        tapes: One for each backward pass.
        params: Those that vary; other leaves stay as they are. A complex one is given by its real
            and imaginary parts.
        maximize: Whether the program goes uphill: then the loss is the sum times -1.
        seen: Whether the program computed its loss with the other leaves as they are now.
    """
    sign = -1 if maximize else 1

    def given(values: Values) -> dict[int, torch.Tensor]:
        return {id(p): as_it_is(p, values[str(at)]) for at, p in enumerate(params)}

    def parts() -> Parts:
        if maximize:
            raise ValueError("a loss that is maximized has no Gauss-Newton matrix to go down by")
        return parts_of([cut(tape) for tape in tapes], given)

    if not tapes:
        raise TapeError("no backward pass into these parameters was seen since the last step")
    value = sum((tape.value.reshape(()) for tape in tapes[1:]), tapes[0].value.reshape(()))
    if not seen:
        value = torch.full_like(value, torch.nan)
    return StepLoss(lambda values: sign * replayed(tapes, given(values)), sign * value, parts)


def parts_of(cuts: Sequence[Cut], given: Callable[[Values], Mapping[int, torch.Tensor]]) -> Parts:
    """The sum of several losses in two: all their outputs, and what is made of them."""

    def output(values: Values) -> tuple[torch.Tensor, ...]:
        parts = [one.outputs(values_of(one.tape, given(values))) for one in cuts]
        return tuple(tensor for part in parts for tensor in part)

    def loss(outputs: Sequence[torch.Tensor]) -> torch.Tensor:
        parts, begin = [], 0
        for one in cuts:
            parts.append(one.loss(outputs[begin : begin + len(one.slots)]).reshape(()))
            begin += len(one.slots)
        return sum(parts[1:], parts[0])

    return Parts(
        output,
        loss,
        functions=[call.function for one in cuts for call in one.calls],
        sums=all(one.sums for one in cuts),
        targets=cuts[0].calls[0].targets if len(cuts) == 1 and cuts[0].alone else None,
    )


def as_it_is(param: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A parameter's value, a complex one made of its parts."""
    return torch.view_as_complex(value) if param.is_complex() else value
