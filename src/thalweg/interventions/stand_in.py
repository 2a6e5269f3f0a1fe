"""Answering the steps of the script's optimizer with those of another.

The script keeps its own object: schedulers move its rates, ``zero_grad`` clears its gradients, its
state is what is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from torch.optim.optimizer import Optimizer

from thalweg.recorder.session import Session


class Answering:
    """Lets optimizers be answered as long as a session lasts.

    Args:
        session: the program's.
        make: From one of the script's optimizers to the one that makes its updates; called at the
            first step.
    """

    def __init__(self, session: Session, make: Callable[[Optimizer], Optimizer]) -> None:
        self._session, self._make = session, make
        self._over = False

    def end(self) -> None:
        """Leave the optimizers to themselves again."""
        self._over = True

    def answer(self, optimizer: Optimizer) -> None:
        """Answer this optimizer's steps from now on."""
        made: list[Optimizer] = []

        def step(own: Optimizer, closure: Any = None) -> Any:
            if self._over:
                return type(own).step(own) if closure is None else type(own).step(own, closure)
            if not made:
                made.append(self._stand_in(own))
            return made[0].step(closure) if closure is not None else made[0].step()

        optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]

    def _stand_in(self, own: Optimizer) -> Optimizer:
        with self._session.standing_in(own) as stand:
            made = self._make(own)
            stand(made)
        return made
