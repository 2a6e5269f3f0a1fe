"""Where a model is evaluated: averages of iterates, Schedule-Free."""

from mutants.families.suites import optim
from mutants.mutant import of

FREE = optim("wrapper_references", "averaging", "wrappers")

MUTANTS = [
    *of(
        "optim/wrappers/schedule_free.py",
        FREE,
        ("lr_max = max(float(lr_max), float(lr))", "lr_max = float(lr)", "the current rate weighs"),
        ("weight = t**r *", "weight = (t - 1) ** r *", "the power of t a step behind"),
        ("float(weight_sum) + weight", "weight", "the weights are not summed"),
        ("alpha=1 - b * (1 - c))", "alpha=1 - b)", "the average's share of the step is left out"),
        (
            "z if decay_at_z else p, alpha",
            "p if decay_at_z else z, alpha",
            "decay at the other point",
        ),
        ("lr * min(1.0, t / warmup_steps)", "lr * t / warmup_steps", "the warm-up never ends"),
        (
            "1 - 1 / _first(hyper[beta]))",
            "1 - _first(hyper[beta]))",
            "evaluated away from the average",
        ),
        ('"z": slot("z", torch.clone)', '"z": slot("z")', "z starts at zero"),
    ),
    *of(
        "optim/classes/schedule_free.py",
        optim("averaging"),
        (
            "self._turn(False, lambda b: 1 - 1 / b)",
            "self._turn(False, lambda b: 1 - b)",
            "eval turns as train does",
        ),
        ('if group["train_mode"] is not mode:', "if True:", "turned twice by two calls"),
    ),
    *of(
        "optim/companions/averaging.py",
        optim("averaging"),
        ("self.steps >= self.start and", "self.steps > self.start and", "begins one step late"),
        ("(self.steps - self.start) % self.every", "self.steps % self.every", "counts from zero"),
        ("min(self.decay, n / (9 + n))", "max(self.decay, n / (9 + n))", "warm-up upside down"),
        ("n / (9 + n)", "n / (10 + n)", "warm-up counted from the first iterate"),
        (
            "(1 - self.decay) / (1 - self.decay**n)",
            "(1 - self.decay) / (1 - self.decay ** (n + 1))",
            "corrected for one iterate too many",
        ),
        (
            '"""All alike."""\n        return 1 / n\n\n\nclass Sto',
            '"""All alike."""\n        return 1 / (n + 1)\n\n\nclass Sto',
            "the first iterate counts twice",
        ),
        (
            "x.detach().to(_kept_in(x.dtype), copy=True)",
            "x.detach().to(_kept_in(x.dtype))",
            "the average is the parameter itself",
        ),
        (
            "value.to(tensors[i].device, copy=True)",
            "value.to(tensors[i].device)",
            "a loaded average is an alias of what was saved",
        ),
        ("torch.promote_types(dtype, torch.float32)", "dtype", "averages of half precision"),
        ("self.counts.get(x, 0) + 1", "self.steps", "a late parameter counts from the first step"),
        ("self._hook.remove()", "pass", "detached and still following"),
        (
            '"counts": {i: self.counts[x] for i, x in at},',
            '"counts": {i: 1 for i, _ in at},',
            "a resumed average begins anew",
        ),
    ),
    *of(
        "optim/companions/evaluation.py",
        optim("averaging"),
        (
            "x.detach().clone()) for x in touched]",
            "x.detach()) for x in touched]",
            "what was there is kept by an alias",
        ),
        ("    finally:\n        _copy(kept)", "    finally:\n        pass", "nothing is put back"),
        ("+ (list(model.buffers()) if model else [])", "", "buffers are not put back"),
        ("vars(module).update(settings)", "pass", "the model is left in training mode"),
    ),
]
