"""Samples set aside: held-out data for a script that has none.

What it changes: a fixed share of the training samples, chosen by a hash of their own content (data
and target), takes no part in any loss that is differentiated. The same samples are out in every
epoch, whatever the order and the batches, and in every run of the script. Their own loss, read in
the forward pass that the script makes anyway, is written down as a held-out reading. Of the other
samples the loss is what the script computes of a batch without the first: its loss function is
given the other rows, so that reduction, weights and ignored targets keep their meaning.

What is left of them: batch normalization counts their data in its statistics, and a sum that the
script divides by the size of its batch is divided by the whole size. A batch that has none but
samples set aside makes an update without a gradient. Dropout leaves a sample alone once it is known
to be out (from its second epoch on), as it does in evaluation.

It is no remedy, and not among the interventions by name: nobody would edit it into a script.

Memory: the data of one batch, and three numbers for each update.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.interventions.set_aside_curve import Curve
from thalweg.recorder.anatomy import plain
from thalweg.recorder.entering import entering
from thalweg.recorder.leaves import needs_gradient
from thalweg.recorder.recording import SET_ASIDE_FILE
from thalweg.recorder.sample_keys import chosen
from thalweg.recorder.sample_losses import Ending, SampleLosses, with_rows
from thalweg.recorder.session import Call, Listener, Session

DROPOUTS = frozenset(
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout".split()  # noqa: SIM905
)
NORMS = frozenset({"batch_norm", "instance_norm"})
MOST_NODES = 2000  # of a loss's graph, among which the losses of samples are sought
COUPLED = "a sample acts on the loss of the others of its batch"
UNREAD = "no update was seen in which a sample set aside met its target"


class SetAside(Listener):
    """Keep a ``share`` of the samples out of training, and read their loss.

    To be the first of a session's listeners, so that it sees the data as the script gives it.

    Args:
        folder: Where ``set_aside.json`` goes: ``share``, ``samples`` (how many were set aside),
            ``why`` (why their loss tells nothing; empty if it does) and ``readings``.
        share: Of all samples, above 0 and below 1.
    """

    def __init__(self, folder: Path, share: float) -> None:
        self._folder, self._share = folder, share
        self._losses, self._curve = SampleLosses(), Curve()
        self._pass: list[Part] = []
        self._made: dict[int, Part] = {}
        self._entering: Call | None = None
        self._out = self._out_data = torch.empty(0, dtype=torch.int64)
        self._why = ""
        self._checked = self._normalized = self._differentiating = False

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def rewrite(self, call: Call) -> None:
        """Take the rows of samples set aside out of a loss."""
        if self._differentiating or not torch.is_grad_enabled():
            return
        if not self._checked and entering(call) is not None:
            self._entering = call
        name = plain(call.name)
        self._normalized |= name in NORMS
        ending = self._losses.look(call)
        if ending is not None:
            self._part(call, ending)
        elif name in DROPOUTS and len(self._out_data):
            self._pass_unchanged(call)

    def _part(self, call: Call, ending: Ending) -> None:
        out = chosen(ending.keys, self._share)
        if out.any():
            part = Part(ending, out, call)
            call.func = part.parted(call.func)
            self._made[id(call)] = part
            self._pass.append(part)

    def _pass_unchanged(self, call: Call) -> None:
        given = call.args[0] if call.args else call.kwargs.get("input")
        rows = self._losses.entered.rows(len(given)) if isinstance(given, torch.Tensor) else None
        if rows is None or rows.each > 1 or rows.axis:
            return
        out = torch.isin(self._losses.entered.samples(rows), self._out_data)
        if out.any():
            call.func = but_for(call.func, out)

    def called(self, call: Call, result: Any) -> None:
        """Follow outputs to their loss, and remember what made it."""
        if not torch.is_grad_enabled() or not isinstance(result, torch.Tensor):
            return
        self._losses.follow(result)
        part = self._made.pop(id(call), None)
        if part is not None:
            part.result = result
        if call is self._entering and result.requires_grad:
            watched: Any = result  # whose hooks have no types
            watched.register_hook(self._check)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Note what the samples set aside would have lost."""
        self._differentiating = True  # what a checkpoint computes again is no other pass
        self._pass = found = those_in(loss, self._pass)
        if not found:
            return
        loss_of_all = torch.stack([one.loss.reshape(()) for one in found]).sum()
        self._curve.add(self._session.step, loss_of_all, found[0].samples)
        for part in found:
            held = part.out.nonzero()[:, 0]
            self._out = _with(self._out, part.ending.keys[held])
            self._out_data = _with(self._out_data, part.ending.data[held])

    def _check(self, gradient: torch.Tensor) -> None:
        """Whether what the samples set aside gave, where their data entered, has a gradient."""
        for part in self._pass:
            rows = part.ending.rows
            if gradient.dim() > rows.axis and gradient.shape[rows.axis] == rows.samples:
                self._checked = True
                own = gradient.movedim(rows.axis, 0)[part.out.to(gradient.device)]
                coupled = (
                    own.nan_to_num().any()
                )  # what is no number comes from outputs that are none
                self._why = COUPLED if coupled and not self._normalized else ""

    def after_backward(self, loss: torch.Tensor) -> None:
        """The next forward pass begins."""
        self._pass, self._made, self._differentiating = [], {}, False
        self._losses.clear()

    def finished(self) -> None:
        """Write what was read."""
        readings = self._curve.readings(len(self._out))
        found = {
            "share": self._share,
            "samples": len(self._out),
            "why": self._why or ("" if readings else UNREAD),
            "readings": readings,
        }
        (self._folder / SET_ASIDE_FILE).write_text(json.dumps(found))


class Part:
    """The loss of a batch in two: of the samples set aside, and of the others.

    Attributes:
        ending: The call that makes it.
        out: Which samples are set aside.
        loss: That of the samples set aside, in the mean over their rows; nothing before the call.
        result: What the call gave: the loss of the others.
    """

    def __init__(self, ending: Ending, out: torch.Tensor, call: Call) -> None:
        self.ending, self.out = ending, out
        self.loss = torch.tensor(torch.nan)
        self.result: torch.Tensor | None = None
        rows = out.repeat_interleave(ending.rows.each)
        self._held, self._kept = rows.nonzero()[:, 0], (~rows).nonzero()[:, 0]
        self._args, self._kwargs, self._read = call.args, call.kwargs, False

    @property
    def samples(self) -> int:
        """How many are set aside."""
        return int(self.out.sum())

    def parted(self, loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """The loss of the others; that of the samples set aside is read when it is first called."""

        @functools.wraps(loss)
        def compute(*args: Any, **kwargs: Any) -> torch.Tensor:
            if not self._read:  # a tape plays the call again
                self._read, self.loss = True, self._of_those_out(loss, args, kwargs)
            if len(self._kept):
                return self._on(self._kept, loss, args, kwargs)
            whole = loss(*args, **kwargs)
            return whole.detach() + 0 * whole

        return compute

    def _on(self, rows: torch.Tensor, loss: Any, args: Any, kwargs: Any) -> torch.Tensor:
        def those(given: torch.Tensor) -> torch.Tensor:
            return given.index_select(0, rows.to(given.device))

        args, kwargs = with_rows(args, kwargs, self.ending.places, those)
        return loss(*args, **kwargs)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _of_those_out(self, loss: Any, args: Any, kwargs: Any) -> torch.Tensor:
        """As the script weighs it and with its targets, whatever a trial makes of these."""
        own = tuple(self._own(at, args[at], one) for at, one in enumerate(self._args))
        named = {k: self._own(k, kwargs[k], one) for k, one in self._kwargs.items()}
        found = self._on(self._held, loss, own, named).detach()
        return found / len(self._held) if self.ending.summed else found

    def _own(self, place: int | str, now: Any, given: Any) -> Any:
        """What the script has given, but for outputs, and targets brought into their shape."""
        if place not in self.ending.places:
            return given
        return given if not needs_gradient(now) and now.shape == given.shape else now


def but_for(dropout: Callable[..., torch.Tensor], out: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Dropout that leaves these rows of what it is given as they are."""

    @functools.wraps(dropout)
    def compute(given: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        before = given.clone()  # it may work in place
        rows = out.to(given.device).reshape(-1, *[1] * (given.dim() - 1))
        return torch.where(rows, before, dropout(given, *args, **kwargs))

    return compute


def those_in(loss: torch.Tensor, parts: Sequence[Part]) -> list[Part]:
    """Those of the parts that this loss is made of."""
    wanted = {one.result.grad_fn: one for one in parts if one.result is not None}
    found: list[Part] = []
    waiting, seen = [loss.grad_fn], set[Any]()
    while waiting and len(found) < len(wanted) and len(seen) < MOST_NODES:
        node = waiting.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in wanted:
            found.append(wanted[node])
        waiting.extend(parent for parent, _ in node.next_functions)
    return found


def _with(known: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The known keys and those that are new, each once."""
    new = keys[~torch.isin(keys, known)]
    return torch.cat(
        [known, torch.tensor(sorted(set(new.tolist())), dtype=keys.dtype, device="cpu")]
    )
