"""The page of the wrappers: what turns one rule into another."""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from optimizer_pages.docstrings import explanation
from optimizer_pages.tables import table
from thalweg.optim import GLOSSARY, RULES, Rule, wrappers


def wrapper_sections() -> str:
    """All wrappers, by the module that explains them."""
    return "\n\n".join(sections())


def sections() -> Iterator[str]:
    """One section for each module of wrappers."""
    for module, functions in by_module().items():
        told = explanation(inspect.getdoc(sys.modules[module]) or "")
        body = [told.summary, told.preface]
        body += [f"**{heading}.** {text}" for heading, text in told.sections.items()]
        body += [table(("wrapper", "what it does", "sets"), map(row, functions))]
        yield "\n\n".join([f"## {told.title}", *filter(None, body)])


def by_module() -> dict[str, list[Callable[[Rule], Rule]]]:
    """The wrappers by the name of their module."""
    found: dict[str, list[Callable[[Rule], Rule]]] = {}
    for name in wrappers.__all__:
        made = getattr(wrappers, name)
        if isinstance(made, FunctionType) and returns_a_rule(made):
            found.setdefault(made.__module__, []).append(made)
    return found


def returns_a_rule(function: Any) -> bool:
    """Whether a function can be called on a rule alone and gives a rule."""
    parameters = list(inspect.signature(function).parameters.values())
    open_ones = [p for p in parameters[1:] if p.default is p.empty]
    return not open_ones and isinstance(function(RULES["adamax"]), Rule)


def row(wrapper: Callable[[Rule], Rule]) -> tuple[str, str, str]:
    """One wrapper with the hyperparameters that it adds."""
    summary = (inspect.getdoc(wrapper) or "").partition("\n")[0]
    bare = RULES["adamax"]
    added = wrapper(bare).hyperparameters.items() - bare.hyperparameters.items()
    named = [f"`{name}` = {value!r} ({GLOSSARY[name].meaning})" for name, value in sorted(added)]
    return f"`{wrapper.__name__}`", summary, "; ".join(named) or "–"
