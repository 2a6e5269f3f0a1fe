"""A session watches a running PyTorch program that knows nothing of us, and lets it be changed.

PyTorch shows every call of its functions to a ``TorchFunctionMode`` and every optimizer step to
global hooks. A session turns them into a handful of events and hands these to its listeners in
order: recorders only look, interventions may answer. Nothing of the program is edited, and with
listeners that only look its numbers stay the same bit for bit.

Events see whole functions (``linear``, ``cross_entropy``, ``rnn_tanh``), never their insides: while
one call is being answered the mode is off. That is why a program of bare tensors and one of
modules look alike from here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from thalweg.recorder import modes
from thalweg.recorder.call_names import SILENT, name_of, without_values
from thalweg.recorder.closures import closure_of, followed, with_closure
from thalweg.recorder.leaves import alone, leaves_of, those_that_train, trained_by
from thalweg.recorder.quiet import Quiet
from thalweg.recorder.replaced import repeat_under, replace, watch_backward, watch_scalers


@dataclass(slots=True)
class Call:
    """One PyTorch function on its way to be computed."""

    func: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Listener:
    """What can happen in a session. Each method does nothing here; a listener has those it needs.

    Listeners hear of an event in their order; of the end of an update those that change something
    hear in the opposite order, so that each puts back what it found, and then those that look.

    Attributes:
        only_looks: Whether it leaves everything as it is.
    """

    only_looks: ClassVar[bool] = False

    def started(self, session: Session) -> None:
        """The script is about to run."""

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """The program constructed an optimizer."""

    def rewrite(self, call: Call) -> None:
        """A call is about to be computed; its function and arguments may be replaced in place."""

    def called(self, call: Call, result: Any) -> None:
        """A call was computed."""

    def before_backward(self, loss: torch.Tensor) -> None:
        """The program is about to differentiate this loss."""

    def after_backward(self, loss: torch.Tensor) -> None:
        """The gradients of this loss have arrived."""

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Gradients that a program without an optimizer is about to use; may be replaced."""
        return gradients

    def before_step(self, optimizer: Optimizer | None) -> None:
        """An optimizer is about to update its parameters (None: the program does it by hand)."""

    def evaluated(self, optimizer: Optimizer) -> None:
        """Amid its step, an optimizer's closure has evaluated the loss and its gradient."""

    def after_step(self, optimizer: Optimizer | None) -> None:
        """The parameters have been updated."""

    def finished(self) -> None:
        """The script has ended, whatever the way."""


@dataclass
class Session:
    """The events of one program, given to listeners; a context manager around the script.

    Attributes:
        listeners: Who hears the events, in order.
        optimizers: Every optimizer that the program has constructed, in order.
        candidates: Optimizers from before the session; the program's own are known by what it
            differentiates first.
        steps: How many updates of each optimizer have ended (``None``: updates made by hand).
    """

    listeners: list[Listener]
    optimizers: list[Optimizer] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)
    candidates: list[Optimizer] = field(default_factory=list)

    def __enter__(self) -> Session:
        self._undo: list[Callable[[], None]] = []
        self._hushed: int | None = None
        self._resting: int | None = None
        self._by_hand = self._in_backward = False
        self._constructing_own = False
        self._stands_for: dict[int, Optimizer] = {}
        self._scaled: tuple[torch.Tensor, torch.Tensor] | None = None
        self._watch_optimizers()
        self._undo.append(watch_scalers(self._scaled_to))
        self._undo.append(watch_backward(self._unseen_backward))
        for listener in self.listeners:
            listener.started(self)
        self._rewriters = _overriding(self.listeners, "rewrite")
        self._watchers = _overriding(self.listeners, "called")
        self._mode = modes.Answering(self.answer)
        if all(one.only_looks for one in self._rewriters):
            self._undo.append(modes.hide_from_fast_paths(self._mode))
        else:
            self._undo.append(repeat_under(lambda: self._in_backward, self._recompute))
        modes.put_back(self._mode, 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with ExitStack() as leaving:  # each of these is done whatever the others raise
            for listener in reversed(self.listeners):
                leaving.callback(listener.finished)
            for undo in self._undo:
                leaving.callback(undo)
            self._loud()
            leaving.callback(modes.take_off, self._mode)
            self._end_manual_step()

    @property
    def resting(self) -> bool:
        """Whether calls go by unseen."""
        return self._resting is not None

    def rest(self, meanwhile: Quiet) -> None:
        """Between two calls: let them go by until `wake`; ``meanwhile`` hears of losses, steps."""
        self._quiet = meanwhile
        if self._resting is None:
            self._resting = modes.take_off_for_long(self._mode)

    def wake(self) -> None:
        """See calls again."""
        if self._resting is not None:
            modes.put_back_after_long(self._mode, self._resting)
            self._resting = None

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Nobody hears of calls inside; other function modes stay at work, as curvature needs."""
        with modes.without(self._mode):
            yield

    def step_of(self, optimizer: Optimizer | None) -> int:
        """How many updates of this optimizer have ended."""
        return self.steps.get(id(optimizer), 0)

    @property
    def step(self) -> int:
        """The number of updates that have ended: of the optimizer that has made the most."""
        return max(self.steps.values(), default=0)

    def answer(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Compute one call of the program, letting the listeners answer and look."""
        name = name_of(func)
        if name in SILENT:
            return func(*args, **kwargs)
        if name == "backward" and args:
            return self._backward(func, args, kwargs)
        if func is torch.autograd.grad:
            return self._grad(func, args, kwargs)
        if without_values():
            return func(*args, **kwargs)
        call = Call(func, name, args, kwargs)
        self._rewrite(call, self._rewriters)
        result = call.func(*call.args, **call.kwargs)
        with torch._C.DisableTorchFunction():
            for listener in self._watchers:
                listener.called(call, result)
        return result

    def _recompute(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Compute a call of a checkpoint again: changed, not watched."""
        call = Call(func, name_of(func), args, kwargs)
        if call.name not in SILENT:
            self._rewrite(call, [one for one in self._rewriters if not one.only_looks])
        return call.func(*call.args, **call.kwargs)

    def _rewrite(self, call: Call, rewriters: Sequence[Listener]) -> None:
        with torch._C.DisableTorchFunction():
            for listener in rewriters:
                listener.rewrite(call)

    def _backward(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> None:
        loss = self._meant(alone(args[0]))
        if loss is None or loss.numel() != 1:
            func(*args, **kwargs)
            return
        self._before_backward(loss)
        leaves = leaves_of(loss) if not self.optimizers else []
        self._in_backward = True
        try:
            func(*args, **kwargs)
        finally:
            self._in_backward = False
        if not self.optimizers:
            self._change_gradients(leaves)
        self._after_backward(loss)

    def _unseen_backward(self, differentiate: Callable[[], None], tensor: torch.Tensor) -> None:
        """A program's own ``backward`` that no mode has shown."""
        if self._resting is not None:
            self._quiet.loss(self._meant(tensor) if self._scaled else tensor)
        differentiate()

    def _scaled_to(self, result: torch.Tensor, loss: torch.Tensor) -> None:
        self._scaled = (result, loss)

    def _meant(self, loss: torch.Tensor | None) -> torch.Tensor | None:
        """The loss itself where the program differentiates it times a gradient scaler's factor."""
        if self._scaled is None or self._scaled[0] is not loss:
            return loss
        loss = self._scaled[1]
        self._scaled = None
        return loss

    def _change_gradients(self, leaves: list[torch.Tensor]) -> None:
        old = [leaf.grad for leaf in leaves]
        new = self._offer(leaves, old)
        for leaf, before, after in zip(leaves, old, new, strict=True):
            if after is not before:
                leaf.grad = after

    def _grad(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        loss = alone(args[0] if args else kwargs.get("outputs"))
        inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
        leaves = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs or ())
        if loss is None or loss.numel() != 1 or not self._trains(leaves, kwargs):
            return func(*args, **kwargs)
        self._before_backward(loss)
        result = func(*args, **kwargs)
        if not self.optimizers:
            result = tuple(self._offer(leaves, result))
        self._after_backward(loss)
        return result

    def _trains(self, leaves: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether gradients of these tensors are taken to train them by."""
        if kwargs.get("create_graph") or not all(isinstance(x, torch.Tensor) for x in leaves):
            return False
        if not self.optimizers:
            return True
        own = {id(p) for p in trained_by(self.optimizers)}
        return all(id(leaf) in own for leaf in leaves)

    def _offer(self, leaves: Sequence[torch.Tensor], gradients: Sequence[Any]) -> Sequence[Any]:
        with torch._C.DisableTorchFunction():
            for listener in self.listeners:
                gradients = listener.gradients(leaves, gradients)
        return gradients

    def _before_backward(self, loss: torch.Tensor) -> None:
        self._end_manual_step()
        if self.candidates:
            self.optimizers += those_that_train(loss, self.candidates, known=self.optimizers)
            self.candidates = []
        self._tell("before_backward", loss)

    def _after_backward(self, loss: torch.Tensor) -> None:
        self._tell("after_backward", loss)
        if not self.optimizers:
            self._by_hand = True
            self._tell("before_step", None)

    def _end_manual_step(self) -> None:
        """A program without an optimizer has made its update when it differentiates again."""
        if self._by_hand:
            self._by_hand = False
            self._count(None)

    def _count(self, optimizer: Optimizer | None) -> None:
        self.steps[id(optimizer)] = self.steps.get(id(optimizer), 0) + 1
        looking = [one for one in self.listeners if one.only_looks]
        changing = [one for one in self.listeners if not one.only_looks]
        self._tell("after_step", optimizer, [*reversed(changing), *looking])

    def _tell(self, event: str, about: object, listeners: Sequence[Listener] | None = None) -> None:
        """Let every listener hear of an event; no function mode sees what they compute."""
        with torch._C.DisableTorchFunction():
            for listener in self.listeners if listeners is None else listeners:
                getattr(listener, event)(about)

    def _watch_optimizers(self) -> None:
        construct = Optimizer.__init__

        def constructing(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            construct(optimizer, *args, **kwargs)
            known = any(one is optimizer for one in self.optimizers)
            if not self._constructing_own and not known:
                self.optimizers.append(optimizer)
                self._tell("optimizer_made", optimizer)

        self._undo.append(replace(Optimizer, "__init__", constructing))
        self._undo.append(register_optimizer_step_pre_hook(self._pre_step).remove)
        self._undo.append(register_optimizer_step_post_hook(self._post_step).remove)

    @contextmanager
    def standing_in(self, own: Optimizer) -> Iterator[Callable[[Optimizer], None]]:
        """Around the construction of an optimizer of ours that makes ``own``'s updates.

        The program has not constructed it, so no listener hears of it; its steps count as those
        of ``own``.
        """
        self._constructing_own = True
        try:
            yield lambda made: self._stands_for.update({id(made): own})
        finally:
            self._constructing_own = False

    def _pre_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._resting is not None:
            self._quiet.before_update(optimizer, closure_of(args, kwargs) is not None)
            tell = functools.partial(self._evaluated, optimizer)
            return with_closure(args, kwargs, lambda one: followed(one, tell))
        self._loud()
        if not (self._stands_for or any(one is optimizer for one in self.optimizers)):
            self.optimizers.append(optimizer)  # made before the session
        own = self._stands_for.get(id(optimizer), optimizer)
        self._tell("before_step", own)
        self._hush()
        return with_closure(args, kwargs, lambda one: self._heard(one, own))

    def _post_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._resting is not None:
            self.steps[id(optimizer)] = self.steps.get(id(optimizer), 0) + 1
            self._quiet.after_update(optimizer)
            return
        self._loud()
        self._count(self._stands_for.get(id(optimizer), optimizer))

    def _evaluated(self, optimizer: Optimizer) -> None:
        """A closure has been evaluated that no mode has shown."""
        if self._resting is not None:
            self._quiet.evaluated(optimizer)

    def _heard(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        """The program's own closure, watched, amid the optimizer's arithmetic, which is not."""

        @functools.wraps(closure)
        def evaluate() -> Any:
            self._loud()
            try:
                result = closure()
            finally:
                self._hush()
            self._tell("evaluated", optimizer)
            return result

        return evaluate

    def _hush(self) -> None:
        """Watch no calls for a while: an optimizer's own arithmetic is none of the program's."""
        self._hushed = modes.take_off(self._mode)

    def _loud(self) -> None:
        """Watch calls again."""
        if self._hushed is not None:
            modes.put_back(self._mode, self._hushed)
            self._hushed = None


def _overriding(listeners: Sequence[Listener], event: str) -> list[Listener]:
    """The listeners that have this event themselves: the rest need not be asked at every call."""
    return [one for one in listeners if getattr(type(one), event) is not getattr(Listener, event)]
