"""The unconstrained problems of CUTEst in at most 30 variables: who solves how many, in how many.

Nobody is told anything of a problem but its function and its start. Problems are raced on by as
many processes as there are processors. Several minimizers, or one with two stopping rules, may ask
for the same points: a problem answers as before, and each has its own count.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import geometric_mean

import torch
from section import Aim, Section

from solving import s2mpj
from solving.minimizers import OURS, OURS_ENDLESS, let_run, taking_part
from solving.peers import absent, has
from solving.watched import Problem, Watched

MOST = 2000
CAP = 300  # seconds of a processor, for all minimizers on one problem
QUICK, EVERY = 200, 24  # evaluations, and which problems, in a quick run
WORDS = f"""Solved is |g| <= 1e-6 (1 + |f|) in the largest entry, at any point evaluated, within
{MOST:,} evaluations. The first row has the defaults and stops by its own rules; with tol=0 it goes
on. "Mended" has every stopping rule turned off, as do scipy's, with memories of 10 pairs, but for
torchmin's, which has 100. "On these" are the problems that the first row and the other solve. A
problem is left out on which all of them together take more than {CAP} seconds of a processor."""
HEAD = ["", "solved", "on these", "ours there", "ratio", "mean ratio", "all, unsolved as the most"]


def measure(scale):
    section = Section("CUTEst, unconstrained, at most 30 variables", WORDS, HEAD)
    section.notes += absent(
        [name for name in ("S2MPJ", "scipy", "torchmin") if name in scale.peers]
    )
    if "S2MPJ" in scale.peers and has("S2MPJ"):
        names = s2mpj.names()[:: EVERY if scale.quick else 1]
        raced = races(names, scale.peers, QUICK if scale.quick else MOST)
        section.notes.append(f"left out as too slow: {', '.join([*s2mpj.SLOW, *too_slow(raced)])}")
        fill(section, {name: found for name, found in raced.items() if found}, scale.quick)
    return section


def too_slow(raced):
    return [name for name, found in raced.items() if found is None]


def fill(section, seen, quick):
    """Rows and aims of what was seen: by problem, by minimizer, the evaluation that solved it."""
    minimizers = list(next(iter(seen.values())))
    section.rows += [row(name, seen) for name in minimizers]
    section.notes.append(
        f"{len(seen)} problems; by nobody solved: {', '.join(unsolved(seen)) or '-'}"
    )
    others = [name for name in minimizers if name not in (OURS, OURS_ENDLESS)]
    if quick or not others:
        return
    best = max(others, key=lambda name: (solved(name, seen), -in_all(name, seen)))
    theirs, mine = on_both(best, seen)
    least = min(in_all(name, seen) for name in others)
    section.aims += [
        Aim(
            f"problems by which {best}, the best other, solves more",
            solved(best, seen) - solved(OURS, seen),
            0,
        ),
        Aim("the same, ours with tol=0", solved(best, seen) - solved(OURS_ENDLESS, seen), 0),
        Aim(f"evaluations on what both solve, over {best}'s", sum(mine) / sum(theirs), 1.0),
        Aim("evaluations in all, over the least of others", in_all(OURS, seen) / least, 1.0),
    ]


def races(names, peers, most):
    """Every minimizer on every problem, several problems at a time: counts, not times."""
    with ProcessPoolExecutor(
        os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        return dict(zip(names, pool.map(partial(race, peers=peers, most=most), names), strict=True))


class TooSlow(Exception):
    """A problem's time is up."""


def race(name, peers, most):
    """The evaluation at which each minimizer solved the problem, None if it did not.

    None in place of all where the problem is too slow.
    """
    problem, found = remembering(s2mpj.problem(name)), {}
    try:
        for title, run in taking_part(peers).items():
            watched = Watched(problem, most)
            let_run(run, watched)
            found[title] = watched.solved_at
    except TooSlow:
        return None
    return found


def remembering(problem, cap=CAP):
    """The same problem, computed once at each point, until its time is up."""
    known, end = {}, time.process_time() + cap

    def function(x):
        if time.process_time() > end:
            raise TooSlow
        key = x.tobytes()
        if key not in known:
            known[key] = problem.function(x)
        value, gradient = known[key]
        return value, gradient.copy()

    return Problem(problem.name, problem.start, function)


def row(name, seen):
    theirs, mine = on_both(name, seen)
    ratios = [x / y for x, y in zip(theirs, mine, strict=True)]
    cells = [f"{solved(name, seen)}", f"{sum(theirs):,}", f"{sum(mine):,}"]
    if ratios:
        cells += [f"{sum(theirs) / sum(mine):.2f}", f"{geometric_mean(ratios):.2f}"]
    return [name, *cells, *["–"] * (5 - len(cells)), f"{in_all(name, seen):,}"]


def solved(name, seen):
    return sum(found[name] is not None for found in seen.values())


def on_both(name, seen):
    """Its evaluations and ours on the problems that both solve."""
    pairs = [(found[name], found[OURS]) for found in seen.values() if found[name] and found[OURS]]
    return [x for x, _ in pairs], [y for _, y in pairs]


def in_all(name, seen):
    return sum(found[name] or MOST for found in seen.values())


def unsolved(seen):
    return [problem for problem, found in seen.items() if not any(found.values())]
