"""Rounding, gradients that are not finite, loading, and parameters that something stands in for."""

from mutants.families.suites import optim
from mutants.mutant import of

ROUNDING, LOADING, SPARSE = optim("rounding"), optim("loading"), optim("sparse")
DIFFERENTIABLE = optim("differentiable")
OPTIMIZER = optim(
    "loading",
    "nonfinite",
    "rule_declaration",
    "sparse",
    "torch_exchange::test_adamw_stays_adamw_whatever_it_loads",
    "torch_exchange::test_state_of_long_ago_is_read",
    "optimizer_classes::test_a_closure_is_called_with_gradients_and_its_loss_returned",
    "optimizer_classes::test_groups_are_checked_too",
    "optimizer_classes::test_a_group_can_be_added_in_mid_run",
)

MUTANTS = [
    *of(
        "optim/options/precision.py",
        ROUNDING,
        (
            "torch.where(draw < chance, beyond, near)",
            "torch.where(draw < chance, near, beyond)",
            "the further neighbour is the likelier",
        ),
        (
            "wide[0] = wide[0] + wide[-1]",
            "wide[0] = wide[0] - wide[-1]",
            "what was lost is taken off again",
        ),
        ("_dropped(new[0], results[0]).to(kept.dtype)", "kept", "what was lost is never renewed"),
        ("torch.where(missed.isfinite(), missed, 0)", "missed", "an overflow becomes NaN"),
        ('Random(f"{first} {step}")', 'Random(f"{first}")', "the same draw at every step"),
        ('groups[0].get("rounding_step", 0) + 1', "1", "every step counts as the first"),
        (
            "reduce(torch.promote_types, kinds, torch.float32)",
            "kinds[0]",
            "half precision throughout",
        ),
        ("x.split(PIECE)", "x.split(PIECE)[:1] * count", "all pieces are the first"),
        (
            "missed = x - near.to(x.dtype)",
            "missed = near.to(x.dtype) - x",
            "rounds away from the number",
        ),
        (
            "if param.dtype in HALF else None",
            "if param.dtype not in HALF else None",
            "the wrong types are compensated",
        ),
    ),
    *of(
        "optim/options/nonfinite.py",
        optim("nonfinite"),
        ("self.skipped += 1", "pass", "skipped steps are not counted"),
        ('if self.policy == "raise":', 'if self.policy != "raise":', "the policies are exchanged"),
        (
            "return all(bool(peak.isfinite().all()) for",
            "return any(bool(peak.isfinite().all()) for",
            "one type that is finite vouches for all",
        ),
        (
            "torch.view_as_real(g) if g.is_complex() else g",
            "g",
            "complex numbers are taken as they are",
        ),
        ("peak.isfinite().all()", "~peak.isnan().any()", "infinity is let through"),
        ("found[:SHOWN]", "found", "the message names all"),
    ),
    *of(
        "optim/options/loading.py",
        LOADING,
        ("own[name] = value.to(p.device)", "pass", "state takes the parameter's type"),
        ("own[name] = value.cpu()", "pass", "scalars take the parameter's type"),
        (
            '"params": [keys[name] for name in group["param_names"]],',
            "",
            "names move and state does not",
        ),
        (
            "if isinstance(value, Tensor) and value.shape != p.shape:",
            "if False:",
            "any shape is taken",
        ),
        (
            "_refuse_names(type(optimizer).__name__, set(here), set(keys))",
            "pass",
            "a KeyError, no advice",
        ),
    ),
    *of(
        "optim/optimizer.py",
        OPTIMIZER,
        ("group.update(self.fixed)", "pass", "AdamW becomes Adam by what it loads"),
        ("group.setdefault(key, default)", "group[key] = default", "loading resets every setting"),
        (
            "with torch.enable_grad():\n                loss = closure()",
            "with torch.no_grad():\n                loss = closure()",
            "a closure without gradients",
        ),
        ("self.param_groups.pop()\n", "pass\n", "a refused group stays"),
        ('"skipped": self.skipped_steps}', '"skipped": 0}', "a copy forgets what was skipped"),
        (
            'own["step"] = torch.tensor(float(own["step"]))',
            "pass",
            "counts of long ago stay numbers",
        ),
    ),
    *of(
        "optim/optimizer.py",
        optim("distributed"),
        (
            "self._admit(self.param_groups[-1])\n        self.stepper = None",
            "self._admit(self.param_groups[-1])",
            "what stands in is not looked for again",
        ),
    ),
    *of(
        "optim/forms/rows.py",
        SPARSE,
        (
            "g = g.coalesce()",
            "g = g.coalesce() if g.is_coalesced() else g.coalesce() * 2",
            "repeated rows count double",
        ),
        (
            "            state[name].index_put_(self.at, self.own[name])\n",
            "            pass\n",
            "rows of the state are not put back",
        ),
        (
            "        self.p.index_put_(self.at, self.tensor)\n",
            "        self.p.index_put_(self.at, self.tensor, accumulate=True)\n",
            "rows are added, not put",
        ),
        (
            "value = s.begin(p.detach().to(kind or p.dtype), known)",
            "value = s.begin(p.detach(), known)",
            "the state's own type is not looked at",
        ),
    ),
    *of(
        "optim/forms/standins.py",
        SPARSE,
        (
            "Rows(p, rule, group, state[p], self.kind) if rule.rows(group) else Dense(p, own)",
            "Rows(p, rule, group, state[p], self.kind)",
            "momentum acts on touched rows only",
        ),
        (
            '                group["params"] = params\n            for',
            "                pass\n            for",
            "the group keeps what stood in",
        ),
        (
            "                one.tensor.grad = None\n",
            "                pass\n",
            "gradients are kept alive",
        ),
    ),
    *of(
        "optim/forms/recorded.py",
        DIFFERENTIABLE,
        ("if graphed else func", "if not graphed else func", "numbers with a graph lose it"),
        ("return Number(-self.tensor)", "return Number(self.tensor)", "minus is dropped"),
        (
            "Number(operation(_bare(other), self.tensor))",
            "Number(operation(self.tensor, _bare(other)))",
            "1 - x is x - 1",
        ),
        (
            "if p.is_leaf and p.requires_grad and p.grad is not None:",
            "if False:",
            "leaves are changed in place",
        ),
        ("if _wants_gradient(value):", "if False:", "a gradient ends in a number, unsaid"),
    ),
]
