r"""How sparsity grows over rounds.

    s_t = s_f + (s_0 - s_f) (1 - t / T)^3,     t = 1 ... T

Zhu & Gupta, *To prune, or not to prune* (arXiv 1710.01878), equation 1: much at first, while many
weights are superfluous, and less and less towards the end.
"""

from __future__ import annotations


def cubic(start: float, end: float, rounds: int) -> list[float]:
    """The sparsity after each of `rounds`, the last one `end`.

    Raises:
        ValueError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"cubic(rounds={rounds}): give at least 1.")
    return [end + (start - end) * (1 - t / rounds) ** 3 for t in range(1, rounds)] + [end]
