"""What has a page: every rule, and every optimizer whose rule is not on the shelf."""

import re
from dataclasses import dataclass
from functools import cached_property

from optimizer_pages.docstrings import Explanation, explanation
from thalweg.optim import OPTIMIZERS, RULES, Rule, RuleOptimizer


@dataclass(frozen=True)
class Subject:
    """What one page is about.

    Attributes:
        name: The rule's name, or the class's in lower case; the page's address.
        rule: With its wrappers, if it is a class.
        doc: The docstring.
        classes: The optimizers that follow the rule.
    """

    name: str
    rule: Rule
    doc: str
    classes: tuple[type[RuleOptimizer], ...]

    @cached_property
    def explanation(self) -> Explanation:
        """The docstring by its headings."""
        return explanation(self.doc)

    @property
    def title(self) -> str:
        """The class's name; without a class, what the docstring calls it."""
        return self.classes[0].__name__ if self.classes else self.explanation.title

    @property
    def lead(self) -> str:
        """The first line of the docstring, without the title if it begins with that."""
        told = self.explanation
        same = told.title.lower().replace(" ", "") == self.title.lower()
        return told.summary if same and told.summary else self.doc.partition("\n")[0]


def subjects() -> dict[str, Subject]:
    """All subjects by name: the rules first, as they stand on the shelf."""
    rules = [
        Subject(name, rule, rule.doc, tuple(c for c in OPTIMIZERS.values() if core(c) == name))
        for name, rule in RULES.items()
    ]
    others = [
        Subject(name, made.rule, made.__doc__ or "", (made,))
        for name, made in OPTIMIZERS.items()
        if core(made) not in RULES
    ]
    return {each.name: each for each in (*rules, *others)}


def core(made: type[RuleOptimizer]) -> str:
    """The name of the rule inside all wrappers: `adam` of `maximize(weight_decay(adam))`.

    Of several rules, the first: `muon` of `for_matrices(decoupled(muon), otherwise=adam)`.
    """
    innermost = re.match(r"(?:\w+\()*(\w+)", made.rule.name)
    return innermost[1] if innermost else made.rule.name
