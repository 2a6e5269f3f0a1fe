"""Penalties, what follows a step, noise, dropout, distortions; the strategies of training."""

from mutants.families.suites import training
from mutants.mutant import of

MUTANTS = [
    *of(
        "training/regularization/penalties.py",
        training("penalty_terms"),
        (
            "strength / 2 * _total(w.square().sum()",
            "strength * _total(w.square().sum()",
            "L2 without its half",
        ),
        ("w.abs().sum() for w in of(model)", "w.norm() for w in of(model)", "L1 is a norm of rows"),
        ("*self.terms, *other.terms", "*self.terms", "the second penalty of a sum is dropped"),
    ),
    *of(
        "training/regularization/selection.py",
        training("penalty_terms"),
        (
            "id(parameter) not in seen and is_weight",
            "is_weight",
            "shared weights are penalized twice",
        ),
        ("parameter.dim() >= 2 and", "", "scales and slopes count as weights"),
        ('and "bias" not in name', "", "attention's extra key counts as a weight"),
        ("and not normalizes", "", "a normalization over many axes has weights"),
        (
            '"weight_decay": weight_decay if decays else 0.0',
            '"weight_decay": weight_decay',
            "biases decay too",
        ),
    ),
    *of(
        "training/regularization/after_step.py",
        training("penalty_terms"),
        ("return self.keep * w", "return (1 - self.keep) * w", "what is lost is kept"),
        (
            "soft_threshold(w, lr * self.strength)",
            "soft_threshold(w, self.strength)",
            "the threshold forgets the learning rate",
        ),
        (
            "register_step_post_hook(lambda",
            "register_step_pre_hook(lambda",
            "before the step in place of after it",
        ),
        (
            "if w.requires_grad and w.grad is not None:",
            "if True:",
            "frozen weights are moved",
        ),
        (
            "apart = torch.unflatten(w, 0, (self.groups[id(w)], -1)).transpose(1, 2)",
            "apart = torch.unflatten(w, 0, (1, -1)).transpose(1, 2)",
            "groups of a transposed convolution are one",
        ),
        ("if id(w) not in self.groups:", "if True:", "units of a transposed one are its inputs"),
    ),
    *of(
        "training/regularization/noise.py",
        training("noise_and_dropout"),
        (
            "x + self.std * torch.randn_like(x)",
            "x + self.std**2 * torch.randn_like(x)",
            "the variance for the deviation",
        ),
        ("torch.randn_like(x) if self.training", "torch.randn_like(x) if True", "noise in eval"),
        (
            "if id(parameter) in noised\n",
            "if id(parameter) in noised and not noised.remove(id(parameter))\n",
            "a shared weight is noised in one place",
        ),
        (
            "for own in (one for one in order if one in module._parameters):",
            "for own in ():",
            "parameters come back in another order",
        ),
    ),
    *of(
        "training/regularization/dropping.py",
        training("noise_and_dropout"),
        (
            "left = permuted >= self.count",
            "left = permuted > self.count",
            "one unit more",
        ),
        ("scale = units / (units - self.count)", "scale = 1.0", "no inverted scaling"),
        (
            "torch.rand(x.shape[:2], device=x.device).argsort(1)",
            "torch.rand(x.shape[1:2], device=x.device).argsort(0).expand(x.shape[:2])",
            "one choice for the whole batch",
        ),
    ),
    *of(
        "training/regularization/stopping.py",
        training("noise_and_dropout"),
        ("math.log1p(-lr * curvature)", "math.log1p(lr * curvature)", "descent goes uphill"),
        ("return 1 / (lr * steps)", "return lr * steps", "the penalty's inverse"),
    ),
    *of(
        "training/regularization/elastic.py",
        training("elastic"),
        ("2 * self.alpha / height)", "2 * self.alpha / width)", "pixels of a square image"),
        ("noise = 2 * torch.rand(", "noise = torch.rand(", "everything is bent one way"),
        (
            "torch.rand(n, 2, height",
            "torch.rand(1, 2, height",
            "all images are bent alike",
        ),
        ("if self.training and self.alpha else", "if self.alpha else", "bends in evaluation too"),
    ),
    *of(
        "training/strategies/curriculum.py",
        training("curriculum"),
        ("numbers.argsort(stable=True)", "numbers.argsort(descending=True)", "hardest first"),
        (
            "range(epoch * len(self), (epoch + 1) * len(self))",
            "range(len(self))",
            "the pacing begins anew in every epoch",
        ),
        (
            "self.easiest_first[batch].tolist()",
            "batch.tolist()",
            "ranks are taken for examples",
        ),
        (
            "len(order), dtype=torch.float64) / len(order)",
            "len(order), dtype=torch.float64)",
            "ranks within small classes come first",
        ),
        ("    with evaluating(model):\n", "    with torch.no_grad():\n", "a teacher with dropout"),
    ),
    *of(
        "training/strategies/pacing.py",
        training("curriculum"),
        ("min(step // every, LATE)", "min(step / every, LATE)", "grows between its steps"),
        ("start if step < steps else 1.0", "start if step <= steps else 1.0", "a step too late"),
        (
            "min(1.0, start + (1 - start) * step / steps)",
            "min(1.0, start * step / steps)",
            "begins with nothing",
        ),
    ),
    *of(
        "training/strategies/epoch_batches.py",
        training("curriculum"),
        ("SeedSequence([seed, epoch])", "SeedSequence([seed])", "every epoch in one order"),
        ("self.done, self._skip = self._skip, 0", "self.done, self._skip = 0, 0", "no resuming"),
        ("        self.set_epoch(self.epoch + 1)\n", "        pass\n", "epochs are not counted"),
    ),
    *of(
        "training/strategies/batch_growth.py",
        training("curriculum"),
        ("sum(epoch >= grown", "sum(epoch > grown", "an epoch too late"),
        (
            "return self.batch_size(epoch) / self.wanted(epoch)",
            "return self.wanted(epoch) / self.batch_size(epoch)",
            "the rate grows where the batch may not",
        ),
    ),
    *of(
        "training/strategies/gradient_noise.py",
        training("stages"),
        ("self.variance(self.steps) ** 0.5", "self.variance(self.steps)", "variance for deviation"),
        ("        self.steps += 1\n", "        pass\n", "the noise does not fade"),
        ("            parameter.grad = gradient\n", "            pass\n", "the noise stays"),
        (
            'self.generator.set_state(noise["generator"].cpu())',
            "pass",
            "a resumed run draws the first noise again",
        ),
        (
            "            if p not in drawn:\n",
            "            if True:\n",
            "other noise at each evaluation of a step",
        ),
    ),
    *of(
        "training/strategies/freezing.py",
        training("stages"),
        ("            parameter.grad = None", "            pass", "a stale gradient moves it"),
        ("if p.requires_grad]", "]", "what was frozen before is freed"),
        ("        module.eval()\n", "        pass\n", "batch norm's statistics go on"),
        (", always_call=True", "", "an error leaves a layer in evaluation mode"),
    ),
    *of(
        "training/strategies/stages.py",
        training("stages"),
        ("with frozen(*layers[:k]):", "with frozen():", "the layers below train too"),
        ("reversed(range(len(parts)))", "range(len(parts))", "freezes where it should free"),
    ),
    *of(
        "training/strategies/snapshots.py",
        training("stages"),
        ("value.detach().clone()", "value.detach()", "all copies are the model of today"),
        ("for k in range(1, cycles + 1)", "for k in range(cycles)", "a cycle that has no step"),
        ('        self.steps = state["steps"]\n', "", "a resumed run counts its steps anew"),
        ("[*self.states]}", "self.states}", "what was saved grows on"),
        ("with evaluating(self.model):", "with torch.no_grad():", "copies with dropout"),
    ),
]
