"""Modifications that turn a rule into a rule."""

from mutants.families.suites import optim
from mutants.mutant import of

EITHER = optim(
    "wrappers", "wrapper_references", "rules::test_a_rule_has_exactly_the_facts_that_hold"
)
MATRIX = optim("matrix_wrappers")

MUTANTS = [
    *of(
        "optim/wrappers/weight_decay.py",
        optim("wrappers", "wrapper_references", "sparse"),
        (
            "add(g, p, alpha=weight_decay)",
            "add(g, p, alpha=-weight_decay)",
            "weights are driven away",
        ),
        (
            "p = p * (1 - lr * weight_decay) if weight_decay",
            "p = p * (1 - weight_decay) if weight_decay",
            "decay without the rate",
        ),
        (
            "{False: l2(rule).formula, True: decoupled(rule).formula}",
            "{True: l2(rule).formula, False: decoupled(rule).formula}",
            "the switch is upside down",
        ),
        (
            "1.0 if peak_lr is None else lr / peak_lr",
            "1.0 if peak_lr is None else peak_lr / lr",
            "the schedule's factor upside down",
        ),
        (
            'return not hyper["weight_decay"]  #',
            "return True  #",
            "rows without gradient do not decay",
        ),
    ),
    *of(
        "optim/wrappers/proximal_decay.py",
        optim("momentum_forms"),
        (
            "(p / (1 + lr * weight_decay) if",
            "(p * (1 - lr * weight_decay) if",
            "the first order of it only",
        ),
    ),
    *of(
        "optim/wrappers/maximize.py",
        EITHER,
        ("-g if maximize else g", "g if maximize else -g", "climbs when it should descend"),
    ),
    *of(
        "optim/wrappers/clipping.py",
        EITHER,
        (
            "max_norm / (gradient_norm + 1e-6), max=1.0)",
            "max_norm / (gradient_norm + 1e-6))",
            "short gradients are lengthened",
        ),
        (
            "max_tensor_norm / (torch.linalg.vector_norm(g) + 1e-6), max=1.0)",
            "max_tensor_norm / (torch.linalg.vector_norm(p) + 1e-6), max=1.0)",
            "the weights' length in place of the gradient's",
        ),
        (
            "clamp(g, min=-clip_value, max=clip_value)",
            "clamp(g, max=clip_value)",
            "clipped on one side",
        ),
        (
            '"clip_by_global_norm",\n        formula,\n        without=("loss-scale-invariant",),',
            '"clip_by_global_norm",\n        formula,',
            "the law that clipping breaks is still claimed",
        ),
    ),
    *of(
        "optim/wrappers/adaptive_clipping.py",
        EITHER,
        ("clamp(unit_norm(p), min=clip_floor)", "unit_norm(p)", "zero weights let nothing through"),
        ("maximum(length, longest)", "length", "short gradients are lengthened"),
    ),
    *of(
        "optim/wrappers/units.py",
        EITHER,
        ("tuple(range(1, x.dim()))", "tuple(range(x.dim() - 1))", "units are columns, not rows"),
    ),
    *of(
        "optim/wrappers/projection.py",
        EITHER,
        ("p = within(p, max_unit_norm)", "g = within(g, max_unit_norm)", "the gradient is bounded"),
    ),
    *of(
        "optim/wrappers/percentile_clipping.py",
        EITHER,
        (
            "torch.cat([window[1:], norm",
            "torch.cat([window[:-1], norm",
            "the newest norm is replaced",
        ),
        ("if not torch.isfinite(norm):", "if torch.isnan(norm):", "infinity is kept"),
        ("clip_percentile / 100)", "1 - clip_percentile / 100)", "the percentile from above"),
        ("fullest = max(window, key", "fullest = min(window, key", "a late parameter decides"),
    ),
    *of(
        "optim/wrappers/units.py",
        EITHER,
        ("torch.clamp(unit_norm(x), min=bound)", "unit_norm(x)", "onto the sphere, not the ball"),
    ),
    *of(
        "optim/wrappers/rescaling.py",
        EITHER,
        ("p * rescaling", "p * (1 - rescaling)", "what is left is what is taken away"),
    ),
    *of(
        "optim/wrappers/l1.py",
        EITHER,
        ("clamp(abs(p) - threshold, min=0.0)", "(abs(p) - threshold)", "jumps over zero"),
        (
            "soft_threshold(p, lr * l1_penalty)",
            "soft_threshold(p, l1_penalty)",
            "the threshold without the rate",
        ),
        ("add(g, sign(p), alpha=l1_penalty)", "add(g, p, alpha=l1_penalty)", "L2 in place of L1"),
    ),
    *of(
        "optim/wrappers/lookahead.py",
        EITHER,
        (
            "if t % lookahead_steps:",
            "if (t - 1) % lookahead_steps:",
            "looks back one step too soon",
        ),
        (
            "slow = lerp(slow, fast, lookahead_alpha)",
            "slow = lerp(fast, slow, lookahead_alpha)",
            "the weights are exchanged",
        ),
        (
            "return slow, *new, slow",
            "return fast, *new, slow",
            "the fast weights do not start again",
        ),
        ('slot("slow_param", torch.clone)', 'slot("slow_param")', "the slow weights begin at zero"),
    ),
    *of(
        "optim/wrappers/cautious.py",
        MATRIX,
        ("((new - p) * g < 0)", "((new - p) * g > 0)", "keeps what goes uphill"),
        ("moving / moving.mean().clamp(min=least_share)", "moving", "the step is not made longer"),
        ("in_single(x) for x in", "x for x in", "small steps are lost before they are judged"),
    ),
    *of(
        "optim/wrappers/mars.py",
        MATRIX,
        ("b1 / (1 - b1) * (g - last)", "b1 * (g - last)", "the weight of the change"),
        (
            "vector_norm(c) / max_corrected_norm, min=1.0)",
            "vector_norm(c) / max_corrected_norm)",
            "short gradients are lengthened",
        ),
        ("**count, **hyper), g", "**count, **hyper), c", "the corrected gradient is remembered"),
        ('hyper["betas"][0] if "betas"', 'hyper["betas"][1] if "betas"', "the wrong beta"),
    ),
    *of(
        "optim/wrappers/by_shape.py",
        MATRIX,
        ('"lr": hyper["lr"] * hyper["lr_ratio"]}', '"lr": hyper["lr"]}', "one rate for both"),
        ('bool(hyper["matrices"]) and (', "(", "a group of embeddings is orthogonalized"),
        ("and ours[name] != theirs[name]:", ":", "every hyperparameter is there twice"),
        (
            '(p.dim() > 2 and hyper.get("flatten", True))',
            "p.dim() > 2",
            "convolutions without being asked",
        ),
        (
            "b.rule.check(b.settings(hyper))",
            "b.rule.check(hyper)",
            "checked by the other rule's settings",
        ),
    ),
]
