"""Which parameters share a call, how their state starts, and when that is looked at anew."""

from mutants.families.suites import FORMS, bits, optim
from mutants.mutant import of

CLASSES = "optimizer_classes::test_"
BETWEEN = optim(
    f"{CLASSES}what_others_do_between_steps_is_seen",
    f"{CLASSES}gradients_may_change_their_layout_between_steps",
    f"{CLASSES}state_of_another_type_is_not_taken_for_a_vector",
    f"{CLASSES}settings_may_change_between_steps",
    f"{CLASSES}a_gradient_that_comes_late_finds_a_fresh_start",
    f"{CLASSES}clearing_a_gradient_frees_its_memory",
    f"{CLASSES}schedulers_act_as_on_pytorchs",
)
DOUBLE = optim("torch_exchange::test_double_by_default_counts_in_double")
STATE = (*optim("state_slots"), *BETWEEN, *bits("nadam"), *DOUBLE, *optim("moving_rates"), *FORMS)
VECTORS = (*FORMS[:-1], *BETWEEN, *bits("adam"), FORMS[-1])

MUTANTS = [
    *of(
        "optim/forms/lanes.py",
        STATE,
        ("== self.pointers\n", "is not None\n", "memory that has moved is not noticed"),
        (
            "            and list(map(VERSION, self.tracked)) == self.versions\n",
            "",
            "a count changed from outside is not seen",
        ),
        (
            "all(map(is_, own, map(state.get, self.params)))",
            "len(own) <= len(self.params)",
            "another state dictionary is not noticed",
        ),
        (
            "            here == self.here\n            and",
            "            True\n            and",
            "a gradient that comes or goes is not noticed",
        ),
        (
            "            and all(map(is_, open_slots, self.open))\n",
            "",
            "a setting that opens a slot is not noticed",
        ),
        ("layout, numbers, there))", "layout, there))", "parameters of different age share a call"),
        (
            'self.t = float(self.kept["step"][0])',
            'self.t = float(self.kept["step"][0]) + 1',
            "the formula counts from 2",
        ),
        ("offset += p.numel()", "offset += 1", "places count parameters, not coordinates"),
        (
            "(p.device, p.dtype, layout, numbers, there)",
            "(p.device, layout, numbers, there)",
            "types share a call",
        ),
        (
            "sources.append(None if s and (p, s.name) in self.fresh else place)",
            "sources.append(place)",
            "a slot that the formula starts is read before",
        ),
        (
            "torch.float64 if double else torch.float32, device=device)",
            "torch.float32, device=device)",
            "counts in single where PyTorch counts in double",
        ),
        (
            "torch._foreach_copy_(places, [value.expand_as(x) for x in places])",
            "self.kept[name][0].copy_(value)",
            "the first parameter's scalar alone is renewed",
        ),
        (
            "self.scalars[index] = self.kept[name][0].clone()",
            "pass",
            "the lane's scalar grows stale",
        ),
        ("if s and s.name not in state[p]:", "if s:", "state starts anew with every lane"),
        (
            "return all(map(CONTIGUOUS, own))",
            "return True",
            "a transposed gradient is read as it lies",
        ),
        ("list(map(STRIDE, own)) == self.strides", "True", "another layout is read as it lies"),
        (
            "if not self.pointwise and p.is_complex():",
            "if False:",
            "complex matrices are stepped wrongly",
        ),
    ),
    *of(
        "optim/forms/vectors.py",
        VECTORS,
        (
            "            torch.cat(parts, out=copy)\n",
            "            pass\n",
            "copies hold the first values",
        ),
        (
            "            torch._foreach_copy_(parts, results)\n",
            "            pass\n",
            "results stay in copies",
        ),
        (
            "next_one.data_ptr() != end or",
            "next_one.data_ptr() < end or",
            "gaps are taken for parameters",
        ),
        (
            "return x.permute(order(x)).view(-1)",
            "return x.reshape(-1)",
            "the order of indices, in a copy",
        ),
        ("reverse=True)", "reverse=False)", "the fastest dimension first"),
        (
            "cluster, total = [], 0\n            cluster",
            "cluster, total = [], 0\n                continue\n            cluster",
            "the first parameter of a new vector is dropped",
        ),
        (
            "        if filled:\n            vector.loads",
            "        if not filled:\n            vector.loads",
            "what is filled is not loaded",
        ),
        (
            "torch.view_as_real(x) if x is not None and x.is_complex() else x",
            "x",
            "complex numbers are no pairs of reals",
        ),
    ),
    *of(
        "optim/forms/whole.py",
        VECTORS,
        (
            "value.clone() if id(value) in known else value",
            "value",
            "an old input is overwritten before it is a result",
        ),
        (
            "row(results, index), row(lane.targets, index)",
            "row(results, 0), row(lane.targets, index)",
            "all get the first one's result",
        ),
    ),
    *of(
        "optim/forms/scalars.py",
        STATE,
        (
            "self.results = {index: new[index] for index in self.scalars}",
            "self.results = {}",
            "new scalars are dropped",
        ),
    ),
    *of(
        "optim/engine.py",
        STATE,
        ("lane.gradients = []  #", "pass  #", "cleared gradients keep their memory"),
        (
            'offset += sum(p.numel() for p in group["params"]) if self.offsets else 0',
            "offset += 0",
            "places begin anew in each group",
        ),
        ('if lane.layout == "any":', "if False:", "what is no vector is seen as one"),
    ),
    *of(
        "optim/forms/settings.py",
        STATE,
        (
            "x.detach().squeeze() if isinstance(x, Tensor)",
            "x.detach() if isinstance(x, Tensor)",
            "a rate of shape (1,) gives parameters a dimension",
        ),
        (
            "not all(map(is_, values, self.values))",
            "not self.values",
            "a setting that changes is not seen",
        ),
        ("all(map(_is_firm, values))", "True", "a list that changes is not seen"),
    ),
]
