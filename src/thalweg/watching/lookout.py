"""The listener that watches a whole run: rare steps in full, and between them next to nothing.

    asleep   losses, learning rates, one number of the gradient; the session rests
    awake    a step in full, or an evaluation, seen call by call

After each update the pace decides whether the next step is seen in full. Everything that is done
here is timed, and the calls that the session shows are charged with what showing them costs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.obstacles.probes import PROBES
from thalweg.recorder import Call, Listener, Recorder, Session
from thalweg.watching.alarm import Alarm
from thalweg.watching.evaluations import watch_evaluations
from thalweg.watching.pace import EVALUATIONS, LOOKING, PROBING, Pace, next_due
from thalweg.watching.probing import Affordable
from thalweg.watching.structure import Following, Structure
from thalweg.watching.trouble import Trouble

SAVED = 16  # steps after which it is asked whether the state is to be kept
CALLS = 40  # on which it is measured what showing one costs


class Lookout(Listener):
    """Watches one run.

    Args:
        folder: Where the recording and the last good state go; it must exist.
        script_folder: The folder whose lines count as the script's own.
        budget: Share of the run's time that watching may take.
        stop: Whether to raise `TrainingBroke` when something breaks.
        hear: Called with the trouble when something breaks.
        looked: Called with what was written down of a step that was seen in full; what it takes
            is part of what looking costs.

    Attributes:
        pace: What watching has cost and may cost.
        alarm: Notices what breaks.
        sampled: How many steps were seen in full.
    """

    only_looks: ClassVar[bool] = True

    def __init__(
        self, folder: Path, script_folder: Path, budget: float, stop: bool,
        hear: Callable[[Trouble], None],
        looked: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:  # fmt: skip
        self.pace, self.sampled = Pace(budget), 0
        self._alarm_with = (self.pace, folder, stop, hear)
        probes = [Affordable(one, self.pace) for one in PROBES]
        self._recorder = Recorder(
            folder, script_folder, probes, wanted=self._is_wanted, told=looked
        )
        self._following = Following()
        self._due = 0
        self._in_step = False
        self._woken_at = self._probed = self._begun = self._left = self._evaluated_from = 0.0
        self._showing = 0.0  # seconds that the session takes to show one call
        self._losses: list[float] = []

    def started(self, session: Session) -> None:
        """Watch from the first call on."""
        self._session = session
        self.alarm = Alarm(session, *self._alarm_with)
        self._recorder.started(session)
        self._evaluations = watch_evaluations(self._evaluation_begins, self._evaluation_ends)
        self._following.begin()

    def measure_showing(self) -> None:
        """Time what it costs to be shown a call, on calls of our own."""
        one, before = torch.ones(()), self.pace.own
        awake = _time_of(lambda: one + one)
        inside = self.pace.own - before
        self._session.rest(self)
        plain = _time_of(lambda: one + one)
        self._session.wake()
        self._showing = max(0.0, (awake - plain - inside) / CALLS)
        self.pace.own = before + awake + plain

    # Awake: a session's events.

    def rewrite(self, call: Call) -> None:
        """Prepare for a call."""
        self._begun = self.pace.now()
        self._recorder.rewrite(call)
        self._left = self.pace.now()

    def called(self, call: Call, result: Any) -> None:
        """Record a call."""
        back = self.pace.now()
        self._recorder.called(call, result)
        if self._recorder.tape.on:
            self._following.called(call, result)
        self.pace.own += self._left - self._begun + self.pace.now() - back + self._showing

    def before_backward(self, loss: torch.Tensor) -> None:
        """Record the loss, and see whether it is finite."""
        begun = self.pace.now()
        if self._recorder.tape.on:
            self.alarm.structure = Structure.of(loss, self._following.calls)
        self.alarm.check_loss(loss)
        self._recorder.before_backward(loss)
        self.pace.own += self.pace.now() - begun

    def after_backward(self, loss: torch.Tensor) -> None:
        """Pass it on."""
        self._recorder.after_backward(loss)

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Pass them on."""
        return self._recorder.gradients(leaves, gradients)

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Record what the update finds, and see whether its gradient is finite."""
        begun, self._in_step = self.pace.now(), optimizer is not None
        if optimizer is not None and self.alarm.is_time():
            self.alarm.check_gradient()
        self._recorder.before_step(optimizer)
        self.pace.own += self.pace.now() - begun

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Record the update, and decide how to see the next one."""
        begun, full, self._in_step = self.pace.now(), self._recorder.tape.on, False
        woken_at, probed = self._woken_at, self._probed
        self._recorder.after_step(optimizer)
        self.pace.own += self.pace.now() - begun
        if full:
            self._probed = self.pace.spent.get(PROBING, 0.0)
            self.pace.charge(LOOKING, self.pace.own - woken_at - (self._probed - probed))
            self.sampled += 1
        if optimizer is not None and not self._recorder.tape.on:
            self._following.end()
            self._session.rest(self)

    # Asleep: what a session tells while it rests. Every microsecond counts here.

    def loss(self, loss: torch.Tensor | None) -> None:
        """Note a loss, and see whether it is finite."""
        begun = self.pace.now()
        again = self._in_step and self._losses  # a closure: the first loss is the step's
        # A mode of the program's own must not see us read.
        hidden = torch._C._len_torch_function_stack() > 0
        if loss is not None and not again and (hidden or not self._note_at_once(loss)):
            self._look_closer(loss)
        self.pace.own += self.pace.now() - begun

    def _note_at_once(self, loss: torch.Tensor) -> bool:
        """Note a plain loss of the CPU that is in order; whether it was one."""
        if not loss.is_cpu or loss.dim() or loss.dtype is not torch.float32:
            return False
        value = loss.item()
        if not math.isfinite(value):
            return False
        self._losses.append(value)
        return True

    def _look_closer(self, loss: torch.Tensor) -> None:
        with torch._C.DisableTorchFunction():
            if loss.numel() != 1:
                return
            value = self.alarm.check_loss(loss)
            self._losses += [] if value is None else [value]

    def before_update(self, optimizer: Optimizer, has_closure: bool) -> None:
        """See whether the gradient is finite, unless the closure is still to compute it."""
        self._in_step = True
        if not has_closure:
            self._glance()

    def evaluated(self, optimizer: Optimizer) -> None:
        """See whether the gradient is finite that a closure has computed; awake or asleep."""
        if self._recorder.tape.on:
            self._recorder.evaluated(optimizer)
        self._glance()

    def _glance(self) -> None:
        if self.alarm.is_time():
            begun = self.pace.now()
            with torch._C.DisableTorchFunction():
                self.alarm.check_gradient()
            self.pace.own += self.pace.now() - begun

    def after_update(self, optimizer: Optimizer) -> None:
        """Note the step, and wake up if the next one is wanted in full."""
        begun, self._in_step = self.pace.now(), False
        step = self._session.steps[id(optimizer)] - 1
        optimizers, losses = self._session.optimizers, self._losses
        which = 0 if optimizer is optimizers[0] else self._place_of(optimizer)
        rate = optimizer.param_groups[0].get("lr", 0.0)
        value = losses[0] if len(losses) == 1 else sum(losses) if losses else None
        self._recorder.pass_over(which, step, rate, value)
        losses.clear()
        # With several optimizers a step begins where a round of them ends, which is to be followed.
        due = step + 1 >= self._due or len(optimizers) > 1
        wanted = due and self._recorder.ready(optimizer, step)
        if not wanted and step % SAVED == 0:
            with torch._C.DisableTorchFunction():
                self.alarm.keep_state()
        self.pace.own += self.pace.now() - begun
        if wanted:
            self._session.wake()
            self._following.begin()

    def _place_of(self, optimizer: Optimizer) -> int:
        found = enumerate(self._session.optimizers)
        return next((i for i, one in found if one is optimizer), 0)

    def _is_wanted(self, step: int) -> bool:
        """Whether the step of this number is seen in full."""
        if step < self._due or not (step == 0 or self.pace.affords(LOOKING)):
            return False
        self._due, self._woken_at = next_due(step), self.pace.own
        return True

    # Evaluations.

    def _evaluation_begins(self) -> bool:
        """A block without gradients begins; whether it is to be seen."""
        if self._in_step or not self._session.resting or not self.pace.affords(EVALUATIONS):
            return False
        self._evaluated_from = self.pace.own
        self._session.wake()
        return True

    def _evaluation_ends(self) -> None:
        self.pace.charge(EVALUATIONS, self.pace.own - self._evaluated_from)
        if not self._recorder.tape.on:
            self._session.rest(self)

    def finished(self) -> None:
        """Check what is left, and write the recording."""
        begun = self.pace.now()
        self._evaluations.close()
        self._following.end()
        self.alarm.close()
        self._recorder.finished()
        self.pace.own += self.pace.now() - begun


def _time_of(compute: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        compute()
    return time.perf_counter() - begun
