"""The optimizers that a script constructs, what they are given, and where they step."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import thalweg.optim
from thalweg.edits.numbers import set_to
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement

HOMES = {"torch.optim.": torch.optim, "thalweg.optim.": thalweg.optim}


@dataclass(frozen=True)
class Made:
    """The construction of an optimizer.

    Attributes:
        call: Where it stands.
        made: Its class; None for one that the script defines.
    """

    call: ast.Call
    made: type[torch.optim.Optimizer] | None

    def argument(self, name: str) -> ast.expr | None:
        """What it is given for a setting."""
        if any(word.arg is None for word in self.call.keywords):
            raise NotPlaced("the optimizer's settings are collected elsewhere (**)")
        if any(isinstance(one, ast.Starred) for one in self.call.args):
            raise NotPlaced("the optimizer's arguments are collected elsewhere (*)")
        named = {word.arg: word.value for word in self.call.keywords}
        if name in named:
            return named[name]
        names = self._positions()
        at = names.index(name) if name in names else len(self.call.args)
        return self.call.args[at] if at < len(self.call.args) else None

    def _positions(self) -> list[str]:
        if len(self.call.args) < 2:
            return ["params"]
        if self.made is None or not self.made.__module__.startswith("torch."):
            raise NotPlaced("the optimizer is given its settings by position")
        return list(inspect.signature(self.made.__init__).parameters)[1:]

    @property
    def params(self) -> ast.expr:
        """What it is given to train."""
        found = self.argument("params")
        if found is None:
            raise NotPlaced("an optimizer is constructed without parameters")
        return found

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings that its class has by itself."""
        return {} if self.made is None else defaults_of(self.made)


def defaults_of(made: Callable[..., torch.optim.Optimizer]) -> dict[str, Any]:
    """The settings that a class of optimizers has by itself."""
    try:
        return dict(made([torch.zeros(1, 1, requires_grad=True)]).defaults)
    except (TypeError, ValueError):  # one that has no default rate
        return {}


def optimizers(script: Script) -> list[Made]:
    """Every optimizer that the script constructs.

    Raises:
        NotPlaced: None is seen, or one is chosen in a way that cannot be seen through.
    """
    found = [Made(one, _class_of(script, one.func)) for one in script.calls()
             if _is_optimizer(script, one.func)]  # fmt: skip
    constructed = {id(one.call.func) for one in found}
    for node in [*script.source.walk(ast.Name), *script.source.walk(ast.Attribute)]:
        around = script.source.parent(node)
        if id(node) in constructed or isinstance(around, ast.Attribute | ast.ClassDef | ast.arg):
            continue
        if _is_optimizer(script, node) or script.origins.dotted(node) + "." in HOMES:
            raise NotPlaced("which optimizer the script constructs is chosen elsewhere")
    if not found:
        raise NotPlaced("the script constructs no optimizer that its source shows")
    return found


def _class_of(script: Script, expr: ast.expr) -> type[torch.optim.Optimizer] | None:
    """The optimizer's class of PyTorch or Thalweg that an expression names."""
    full = script.origins.dotted(expr)
    home, name = next((start for start in HOMES if full.startswith(start)), ""), full.split(".")[-1]
    found = getattr(HOMES[home], name, None) if home else None
    is_class = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    return found if is_class and found is not torch.optim.Optimizer else None


def _is_optimizer(script: Script, expr: ast.expr) -> bool:
    if _class_of(script, expr) is not None:
        return True
    definition = script.origins.class_of(expr)
    return definition is not None and any(
        script.origins.dotted(base) == "torch.optim.Optimizer" or _is_optimizer(script, base)
        for base in definition.bases
    )


def groups(script: Script) -> list[ast.Dict]:
    """Every group of parameters: a dictionary that has ``params``.

    Raises:
        NotPlaced: Part of one is collected elsewhere.
    """
    found = [one for one in script.source.walk(ast.Dict) if _item(one, "params") is not None]
    if any(key is None for one in found for key in one.keys):
        raise NotPlaced("a group's settings are collected elsewhere (**)")
    return found


def _item(group: ast.Dict, name: str) -> ast.expr | None:
    for key, value in zip(group.keys, group.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == name:
            return value
    return None


def settings(script: Script, name: str) -> list[ast.expr]:
    """Every value that optimizers and groups are given for a setting."""
    made = [one.argument(name) for one in optimizers(script)]
    own = [_item(one, name) for one in groups(script)]
    return [one for one in (*made, *own) if one is not None]


def lacking(script: Script, name: str) -> list[Made]:
    """The optimizers that leave a setting to their class, for some of what they train."""
    own = groups(script)
    everywhere = bool(own) and all(_item(one, name) is not None for one in own)
    made = optimizers(script)
    if everywhere and len(made) == 1:
        return []
    return [one for one in made if one.argument(name) is None]


def sets_itself(script: Script, name: str) -> bool:
    """Whether the script assigns a setting of its groups while it runs, other than by a factor."""
    return any(
        isinstance(one.ctx, ast.Store)
        and isinstance(one.slice, ast.Constant)
        and one.slice.value == name
        and not _is_a_factor(script, one)
        for one in script.source.walk(ast.Subscript)
    )


def _is_a_factor(script: Script, target: ast.Subscript) -> bool:
    statement = script.source.statement(target)
    return isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Mult | ast.Div)


def arguments(call: ast.Call) -> list[ast.expr | ast.keyword]:
    """The arguments of a call as they stand."""
    parts: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    return sorted(parts, key=lambda one: (one.lineno, one.col_offset))


def with_argument(script: Script, call: ast.Call, name: str, text: str) -> list[Replacement]:
    """A named argument of a call gets this value, wherever it comes from, or is added."""
    given = next((word.value for word in call.keywords if word.arg == name), None)
    if given is not None:
        return set_to(script, given, text)
    if any(word.arg is None for word in call.keywords):
        raise NotPlaced(f"the arguments of {script.source.of(call.func)} are collected elsewhere")
    ends = [script.source.end(one) for one in arguments(call)]
    at = max(ends, default=script.source.end(call) - 1)
    return [Replacement(at, at, f"{', ' if ends else ''}{name}={text}")]


def without_argument(script: Script, call: ast.Call, name: str) -> list[Replacement]:
    """A named argument of a call and the comma before it taken away."""
    source = script.source
    parts = arguments(call)
    at = next(i for i, one in enumerate(parts) if isinstance(one, ast.keyword) and one.arg == name)
    if at:
        return [Replacement(source.end(parts[at - 1]), source.end(parts[at]), "")]
    end = source.start(parts[1]) if len(parts) > 1 else source.end(parts[0])
    return [Replacement(source.start(parts[0]), end, "")]


def schedulers(script: Script) -> list[ast.Call]:
    """Every construction of a schedule of PyTorch."""
    start = "torch.optim.lr_scheduler."
    return [one for one in script.calls() if script.origins.called(one).startswith(start)]


def steps(script: Script) -> list[tuple[ast.Call, ast.expr]]:
    """Every call that makes an update, with the expression that is the optimizer there.

    Raises:
        NotPlaced: A ``step`` is that of something unknown, or an optimizer's is not seen.
    """
    made = [one.call for one in optimizers(script)]
    scheduled = schedulers(script)
    found = []
    for call in script.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "step":
            continue
        stepping = _stepping(script, call)
        origins = script.origins.of(stepping)
        if origins and all(any(one is each for each in made) for one in origins):
            found.append((call, stepping))
        elif not origins or any(not _is_known(script, one, scheduled) for one in origins):
            what = script.source.of(call)
            raise NotPlaced(f"line {call.lineno}: what {what} updates is not seen")
    if not found:
        raise NotPlaced("the script shows no step of its optimizer")
    return found


def _stepping(script: Script, call: ast.Call) -> ast.expr:
    """The optimizer of ``optimizer.step()``, and of ``scaler.step(optimizer)``."""
    own = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    origins = script.origins.of(own)
    names = [script.origins.called(one) for one in origins if isinstance(one, ast.Call)]
    return call.args[0] if call.args and any("GradScaler" in name for name in names) else own


def _is_known(script: Script, origin: ast.AST, scheduled: list[ast.Call]) -> bool:
    """Whether something that steps is no optimizer: a schedule, or an object of the script's."""
    if any(origin is one for one in scheduled):
        return True
    return isinstance(origin, ast.Call) and script.origins.class_of(origin.func) is not None


def made_at(script: Script, expr: ast.expr) -> list[Made]:
    """The constructions that an expression's optimizer comes from."""
    origins = script.origins.of(expr)
    return [one for one in optimizers(script) if any(one.call is each for each in origins)]


def inside_step(script: Script, call: ast.Call) -> ast.FunctionDef | None:
    """The closure that a step is given."""
    if not (is_method(call, "step") and call.args):
        return None
    found = script.origins.of(call.args[0])
    return found[0] if len(found) == 1 and isinstance(found[0], ast.FunctionDef) else None
