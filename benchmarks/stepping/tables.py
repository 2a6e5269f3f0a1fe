"""Results as Markdown tables that also read well in a terminal."""

COLUMNS = (
    *("torch", "foreach", "fused", "torch graph"),
    *("auto", "each", "together", "blocks", "compiled", "graph"),
    *("heavyball", "pytorch_optimizer", "optax"),
    *("new process", "from disk"),  # first steps only: compiled, without and with a cache
)


def markdown(head, rows):
    """A table with its columns aligned, all but the first to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    return "\n".join(_line(row, widths) for row in (head, rule, *rows))


def _line(cells, widths):
    first, *rest = (
        c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *rest])} |"


def step_table(results, architecture):
    """Times of a step: over the floor on a large model, over PyTorch's loop on a small one."""
    columns = [c for c in COLUMNS if any(r.has(c) for r in results)]
    if architecture.large:
        head = ["rule", "state B", "moved B", "floor", "copy"]
        value, given = (lambda r, c: r.by_floor(c)), _large
    else:
        head = ["rule", "state B", "reference", "is"]
        value, given = (lambda r, c: r.ratio(c, r.reference)), _small
    rows = [
        [r.rule, *given(r), *(f"{value(r, c):.2f}" if r.has(c) else "–" for c in columns)]
        for r in results
        if r.moved_bytes  # without any of our forms there is nothing to compare
    ]
    return markdown([*head, *columns], rows)


def _large(result):
    return [
        f"{result.for_each_parameter(result.state_bytes):.1f}",
        f"{result.for_each_parameter(result.moved_bytes):.1f}",
        duration(result.floor()),
        f"{result.ratio('copy', 'in place'):.2f}",
    ]


def _small(result):
    state = f"{result.for_each_parameter(result.state_bytes):.1f}"
    return [state, duration(result.seconds(result.reference)), result.reference]


def memory_table(results):
    """Memory that a step takes beyond what is kept, in % of the parameters."""
    return _plain(results, "extra", lambda r, c: f"{100 * r.extra_share(c):.1f} %")


def first_step_table(results):
    """How long the first two steps take."""
    return _plain(results, "first", lambda r, c: duration(r.first[c]))


def _plain(results, what, cell):
    columns = [c for c in COLUMNS if any(c in getattr(r, what) for r in results)]
    rows = [
        [r.rule, *(cell(r, c) if c in getattr(r, what) else "–" for c in columns)] for r in results
    ]
    return markdown(["rule", *columns], rows)


def notes(results):
    """Who did not take part, and why."""
    return "\n".join(
        f"* {r.rule}, {name}: {why}" for r in results for name, why in sorted(r.notes.items())
    )


def duration(seconds):
    """With three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
