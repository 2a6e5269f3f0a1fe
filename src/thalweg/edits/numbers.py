"""Numbers in a script: the literal that a value comes from, and how another one is written there.

A literal is changed where it stands if it is used for nothing but what is to change: in the call
itself, under a name that is bound once, as a parameter's default, as an option's default of
``argparse``. Otherwise the use is changed: ``lr=0.1 * rate``.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from thalweg.edits.origins import Unknown
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import Replacement


def number(expr: ast.expr | None) -> float | int | None:
    """The number that a literal is."""
    match expr:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inside = number(operand)
            return None if inside is None else -inside
    return None


def written(value: float, like: str = "") -> str:
    """A number as a person writes it, in the style of the one that it takes the place of."""
    short = f"{value:.12g}"
    if ("e" not in short and "e" not in like.lower()) or value == 0:
        whole = isinstance(value, int) or "." in short
        return short if whole else f"{short}.0"
    mantissa, _, exponent = f"{value:.11e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def set_to(script: Script, expr: ast.expr, text: str) -> list[Replacement]:
    """Another value in a place, or in the literal that it comes from."""
    return [script.source.replaced(literal(script, expr, [expr]) or expr, text)]


def scaled(script: Script, exprs: Sequence[ast.expr], factor: float) -> list[Replacement]:
    """Every one of some values times a factor."""
    return [_scaled(script, expr, literal(script, expr, exprs), factor) for expr in exprs]


def _scaled(script: Script, expr: ast.expr, home: ast.expr | None, factor: float) -> Replacement:
    value = number(home)
    if home is None or value is None:
        text = script.source.of(expr)
        atom = isinstance(expr, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant)
        product = f"{written(factor)} * {text if atom else f'({text})'}"
        return script.source.replaced(expr, product)
    whole = isinstance(value, int) and isinstance(factor, int)
    result = value * factor if whole else float(value) * factor
    return script.source.replaced(home, written(result, script.source.of(home)))


def literal(script: Script, expr: ast.expr, beside: Sequence[ast.expr]) -> ast.expr | None:
    """The literal that a value comes from, if nothing else than ``beside`` and output reads it."""
    if number(expr) is not None:
        return expr
    if isinstance(expr, ast.Attribute):
        return _default_of_option(script, expr, beside)
    if not isinstance(expr, ast.Name):
        return None
    bindings = script.scopes.bindings(expr)
    others = [one for one in script.scopes.uses(expr) if not any(one is each for each in beside)]
    if len(bindings) != 1 or not all(_is_shown(script, one) for one in others):
        return None
    value, node = bindings[0].value, bindings[0].node
    if value is not None:
        return value if number(value) is not None else None
    return _given(script, node) if isinstance(node, ast.arg) else None


def _given(script: Script, parameter: ast.arg) -> ast.expr | None:
    """The literal that the only call of a function gives, or that it has as its default."""
    try:
        values = script.origins.given(parameter)
    except Unknown:
        return None
    return literal(script, values[0], values) if len(values) == 1 else None


def _is_shown(script: Script, node: ast.expr) -> bool:
    """Whether a value is only printed or logged here."""
    for one in script.source.around(node):
        if isinstance(one, ast.FormattedValue):
            return True
        if isinstance(one, ast.Call):
            return isinstance(one.func, ast.Name) and one.func.id == "print"
        if isinstance(one, ast.stmt):
            return False
    return False


def _default_of_option(
    script: Script, expr: ast.Attribute, beside: Sequence[ast.expr]
) -> ast.expr | None:
    """The default of the option that ``args.rate`` reads, unless the command line gives it."""
    parsed = script.origins.of(expr.value)
    if len(parsed) != 1 or not (isinstance(parsed[0], ast.Call) and _parses(parsed[0])):
        return None
    option = "--" + expr.attr.replace("_", "-")
    reads = [
        one
        for one in script.source.walk(ast.Attribute)
        if one.attr == expr.attr and not any(one is each for each in beside)
    ]
    given = any(word.split("=")[0] in _beginnings(option) for word in script.source.arguments)
    if given or not all(_is_shown(script, one) for one in reads):
        return None
    added = [one for one in script.calls() if is_method(one, "add_argument") and _adds(one, option)]
    if len(added) != 1:
        return None
    value = next((word.value for word in added[0].keywords if word.arg == "default"), None)
    return value if number(value) is not None else None


def _parses(call: ast.Call) -> bool:
    return is_method(call, "parse_args") and not call.args and not call.keywords


def _adds(call: ast.Call, option: str) -> bool:
    """Whether an option is added under this name; short ones beside it may be given instead."""
    names = [one.value for one in call.args if isinstance(one, ast.Constant)]
    return names in ([option], [option.replace("-", "_").replace("__", "--", 1)])


def _beginnings(option: str) -> set[str]:
    """What a command line may abbreviate an option to, in either spelling."""
    spellings = (option, "--" + option[2:].replace("-", "_"))
    return {one[:end] for one in spellings for end in range(3, len(one) + 1)}
