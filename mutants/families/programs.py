"""A formula written down, kept, and done piece by piece."""

from mutants.families.suites import FORMS, bits
from mutants.mutant import of

PROGRAMS = (*bits("sgd"), *bits("nadam"), *FORMS)

MUTANTS = [
    *of(
        "optim/forms/batch.py",
        PROGRAMS,
        (
            "(torch.reciprocal, (self,), {}) * other",
            "(torch.div, (other, self), {})",
            "a quotient, where a tensor multiplies by the reciprocal",
        ),
        (
            "return self.run(torch.rsub, (self, other), {})",
            "return self.run(torch.sub, (self, other), {})",
            "1 - x is x - 1",
        ),
        (
            "return self.run(torch.lt, (self, other), {})",
            "return self.run(torch.le, (self, other), {})",
            "less is less or equal",
        ),
        (
            "torch.maximum: torch._foreach_maximum",
            "torch.maximum: torch._foreach_minimum",
            "the largest is the smallest",
        ),
        (
            "x.tensors[index] if isinstance(x, Batch) else x",
            "x.tensors[0] if isinstance(x, Batch) else x",
            "all compute with the first one's values",
        ),
    ),
    *of(
        "optim/forms/program.py",
        PROGRAMS,
        ("(x for _, x in self.kwargs)", "()", "what is named is not read"),
        (
            "refer = self.value if func is torch.pow else self.pointer",
            "refer = self.pointer",
            "exponents are numbers of the program",
        ),
        (
            'return Pointer("numbers", len(self.numbers) - 1)',
            'return Pointer("numbers", 0)',
            "the first number everywhere",
        ),
        (
            'results = [graph.call_method("clone", (value,)) for _, value in pairs]',
            "results = [value for _, value in pairs]",
            "a result that is an old input is lost",
        ),
    ),
    *of(
        "optim/forms/blocks.py",
        PROGRAMS,
        (
            "if last_read.get(v, -1) > index}",
            "if last_read.get(v, -1) > index + 1}",
            "scratch memory is free one operation too soon",
        ),
        (
            "(old is None or last_read.get(old, -1) <= index)",
            "True",
            "old state is overwritten while it is needed",
        ),
        (
            "last[value] = len(program.operations)",
            "pass",
            "results are overwritten before the end",
        ),
        (
            "yield whole, start, min(size, length - start)",
            "yield whole, start, size",
            "the rest is as long as a block",
        ),
        (
            "for start in range(0, length, size):",
            "for start in range(0, length - size + 1, size):",
            "the rest is left out",
        ),
        (
            "            torch.set_num_threads(threads)\n",
            "            pass\n",
            "the caller is left with one thread",
        ),
        ("and place not in held and", "and", "a place is given away twice"),
    ),
    *of(
        "optim/forms/listed.py",
        PROGRAMS,
        (
            "operation.reads[:1] == [0] and not any(",
            "not any(",
            "what is changed is not the parameter",
        ),
        ("torch.sub: torch._foreach_sub_", "torch.sub: torch._foreach_add_", "minus is plus"),
    ),
    *of(
        "optim/forms/recipes.py",
        PROGRAMS,
        (
            "if (values, others, present) != self.asked:",
            "if self.asked is None or (others, present) != self.asked[1:]:",
            "yesterday's numbers",
        ),
        ("if answers == recipe.answers:", "if True:", "another branch's recipe"),
        (
            "answers != recipe.answers or found == expected",
            "True",
            "hidden arithmetic is not noticed",
        ),
        ("key = (*present, *others)", "key = (*present,)", "another convention's recipe"),
        ("len(recipes) == BRANCHES", "False", "recipes without end"),
    ),
    *of(
        "optim/forms/numbers.py",
        PROGRAMS,
        (
            "args = (*others, self) if reflected else (self, *others)",
            "args = (self, *others)",
            "1 - x is x - 1",
        ),
        (
            "self.ledger.ask(operator.eq, (self, float.__float__(self)))",
            "pass",
            "a number taken for itself holds for all",
        ),
        (
            "return bool(self.ledger.ask(operator.truth, (self,)))",
            "return bool(float.__float__(self))",
            "whether a number is zero is not asked again",
        ),
        (
            "self.ledger.sum(Tensor.item, (self,))",
            "self.ledger.sum(float, (self.value.item(),))",
            "the first value of held state for ever",
        ),
    ),
]
