"""What goes along with any optimizer: accumulation, SAM, Lookahead, schedules."""

from mutants.families.suites import optim
from mutants.mutant import of

COMPANIONS, SCHEDULES = optim("companions"), optim("schedules")

MUTANTS = [
    *of(
        "optim/companions/accumulation.py",
        COMPANIONS,
        ("mean = self.sums[p] / self.batches if", "mean = self.sums[p] if", "a sum for a mean"),
        (
            "self.sums[p] / self.batches if",
            "self.sums[p] / self.every if",
            "a remainder is divided by the whole number",
        ),
        ("if self.batches == self.every:", "if self.batches > self.every:", "one batch too many"),
        (
            "self.sums, self.batches = {}, 0\n\n    def state_dict",
            "self.batches = 0\n\n    def state_dict",
            "sums are never cleared",
        ),
        (
            "g.to(torch.promote_types(g.dtype, torch.float32), copy=True)",
            "g.clone()",
            "half precision is summed as such",
        ),
        ("torch.float32), copy=True)", "torch.float32))", "the sum is the gradient itself"),
        (
            "                p.grad = g\n",
            "                pass\n",
            "the gradients do not come back",
        ),
        ('self.batches = taken["batches"]', "self.batches = 0", "a resumed run counts anew"),
    ),
    *of(
        "optim/companions/sam.py",
        COMPANIONS,
        (
            "p.add_(x * self._unit(p) *",
            "p.sub_(x * self._unit(p) *",
            "goes to the best point nearby",
        ),
        ("p.add_(x * self._unit(p) *", "p.add_(x *", "ASAM's second scaling is missing"),
        (
            "self._return()\n        self.optimizer.step()",
            "self.optimizer.step()\n        self._return()",
            "the step is taken back",
        ),
        ("(p, p.detach().clone())", "(p, p.detach())", "where it was is an alias of where it is"),
        ('group.get("rho", self.rho)', "self.rho", "a group's own rho is not looked at"),
        (
            "except BaseException:\n            self._return()",
            "except BaseException:\n            pass",
            "a failed second loss leaves it away",
        ),
        (
            "p.detach().abs() + self.eta",
            "p.detach() + self.eta",
            "negative weights are scaled backwards",
        ),
    ),
    *of(
        "optim/companions/lookahead.py",
        COMPANIONS,
        (
            "own[SLOW].lerp_(p, self.alpha)",
            "own[SLOW].lerp_(p, 1 - self.alpha)",
            "the weights exchanged",
        ),
        (
            "own[SLOW], own[COUNT] = starts[p], 0",
            "own[SLOW], own[COUNT] = starts[p], 1",
            "a step short",
        ),
        ("p: p.detach().clone()", "p: p.detach()", "the slow weights are the fast ones"),
        (
            "            p.copy_(own[SLOW])",
            "            pass",
            "the fast weights do not start again",
        ),
        ('own = ("k", "alpha")', 'own = ("k",)', "a copy forgets alpha"),
    ),
    *of(
        "optim/companions/around.py",
        COMPANIONS,
        (
            "setattr(self, name, getattr(self.optimizer, name))",
            "setattr(self, name, {})",
            "hooks of the inner optimizer are lost",
        ),
        ("self.optimizer.add_param_group(param_group)", "pass", "a new group is dropped"),
    ),
    *of(
        "optim/companions/schedules.py",
        SCHEDULES,
        (
            "return (step + 1) / self.warmup",
            "return step / self.warmup",
            "the first step stands still",
        ),
        ("(into + 1) / self.decay if", "into / self.decay if", "the last step is not at the end"),
        ("(1 - self.final) * SHAPES", "SHAPES", "the fall does not begin at 1"),
        ("step - self.warmup - self.stable", "step - self.stable", "the warm-up is not counted"),
        ("min(at, 1 / math.sqrt(at))", "1 / math.sqrt(at)", "no warm-up"),
        (
            "at = (step + 1) / self.warmup",
            "at = step / self.warmup + 1",
            "counted from the warm-up's end",
        ),
        (
            "(1 + math.cos(math.pi * done)) / 2",
            "math.cos(math.pi * done / 2)",
            "a quarter of a wave",
        ),
    ),
]
