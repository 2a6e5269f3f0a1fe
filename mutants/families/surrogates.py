"""Surrogate losses and their promise, what is measured; what a continued run must have alike."""

from mutants.families.suites import training
from mutants.mutant import of

MUTANTS = [
    *of(
        "training/loop.py",
        training(
            "fit::test_values_are_means_over_samples_in_eval_mode",
            "fit::test_schedules_move_by_step_or_by_epoch",
            "fit::test_float16_gradients_are_scaled_and_an_overflow_makes_no_step",
            "refused_runs",
            "fit",
            "checkpoint::test_it_continues_to_the_same_bits",
        ),
        (
            "self.scheduler is not None and self.step.was_made",
            "self.scheduler is not None",
            "the schedule moves after a step that was left out",
        ),
        (
            "self.scheduler.step(found.train_loss if value is None else value)",
            "self.scheduler.step(found.train_loss)",
            "the plateau is looked for in the training loss",
        ),
        ("map(math.prod, zip(losses, sizes", "map(max, zip(losses, sizes", "sizes are losses"),
        (
            "            self.restore_random(self._began)\n",
            "            pass\n",
            "an epoch that is resumed has another order",
        ),
        (
            "            self.restore_random(now)\n",
            "            pass\n",
            "what a resumed epoch draws is what it drew when it began",
        ),
        (
            'self.restore_random(state["random"])',
            "pass",
            "random states are saved and not taken up",
        ),
        (
            "{**saving.facts, **self.kinds()})\n",
            "saving.facts)\n",
            "a run with other parts is continued",
        ),
        ("elif self.scheduler is not None:", "elif False:", "a schedule by epochs stands still"),
    ),
    *of(
        "training/metrics.py",
        training("fit::test_values_are_means_over_samples_in_eval_mode", "risk"),
        ("    model.eval()\n", "", "measured in train mode"),
        ("            module.training = mode\n", "            pass\n", "the model stays in eval"),
        (
            "sums += part.samples * torch",
            "sums += torch",
            "a mean of the batches' means",
        ),
    ),
    *of(
        "training/losses/zero_one.py",
        training("surrogate_losses"),
        ("margins(outputs, targets) > 0)", "margins(outputs, targets) >= 0)", "a tie is right"),
        ("targets[:, None], -torch.inf", "targets[:, None], 0.0", "the right class rivals itself"),
    ),
    *of(
        "training/losses/margin.py",
        training("surrogate_losses"),
        ("F.relu(1 - m), torch.abs", "F.relu(-m), torch.abs", "the perceptron's loss"),
        ("(1 - t**2).sqrt()", "(1 - t).sqrt()", "another promise of the exponential"),
        ("1 - theta)) / 2", "1 - theta))", "an entropy without its half"),
    ),
    *of(
        "training/losses/multiclass.py",
        training("surrogate_losses"),
        ("outputs.shape[1] * F", "F", "the mean over the classes"),
    ),
    *of(
        "training/losses/calibration.py",
        training("surrogate_losses"),
        ("bool(right < -1e-6) and", "", "a flat loss is calibrated"),
        (
            " and bool((right - left).abs() < 1e-4 * (1 + left.abs()))",
            "",
            "a corner at zero is calibrated",
        ),
        ("(low, middle)\n", "(low, high)\n", "the bound is always one"),
    ),
    *of(
        "training/stepping.py",
        training(
            "fit::test_a_closures_loss_is_the_one_where_the_step_began",
            "fit::test_clipping_bounds_every_step",
        ),
        ("return found[0]", "return found[-1]", "the loss where the search ended"),
        (
            "            found.append(surrogate)\n            self.clipped()\n",
            "            found.append(surrogate)\n",
            "no clipping",
        ),
    ),
    *of(
        "training/batches.py",
        training("checkpoint::test_it_continues_to_the_same_bits", "refused_runs"),
        (
            "            next(items, None)\n",
            "            pass\n",
            "no batch of a loader is skipped",
        ),
        ("x.shape[:1] != (length,)", "False", "inputs and targets differ in number"),
    ),
    *of(
        "training/estimates.py",
        training("risk"),
        ("inv_cdf((1 + confidence) / 2)", "inv_cdf(confidence)", "one-sided"),
        ("(size, n), generator", "(size, n - 1), generator", "a sample fewer is drawn again"),
    ),
    *of(
        "training/risk.py",
        training("risk"),
        ("lower=found.lower - number,", "lower=found.lower,", "the gap's interval is the risk's"),
        ("manual_seed(seed))[", "manual_seed(seed + size))[", "larger sets hold no smaller ones"),
    ),
]
