"""The frame that all solvers share: run, look at the true residual, and run again if need be.

A Krylov iteration updates its residual without ever looking at b - A x, and the two part by the
rounding of all steps. So a run that thinks it is done is checked with a product; where it was
wrong, another run starts from the x reached and its true residual, as in iterative refinement
(Wilkinson, *Rounding Errors in Algebraic Processes*, 1963). It ends when a run takes less than a
tenth off. A long run looks at the true residual now and then, and ends where it has lost it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from torch import Tensor

from thalweg.linalg.energy import Energy
from thalweg.linalg.preconditioning import Precondition, identity
from thalweg.linalg.products import length
from thalweg.linalg.solution import Direction, Solution, Status
from thalweg.linalg.stopping import ROUNDING_UNITS, Outcome, Problem

# A run that leaves more than this share of the residual was of no use.
SHORTER = 0.9


@final
@dataclass(frozen=True, eq=False)
class Run:
    """What one iteration came to.

    Attributes:
        x: where it ended.
        outcome: why: "done" by its own residual, or because it has lost the true one; "least
            squares" by its own normal residual; "flat" or "negative curvature" along `direction`;
            at the "boundary"; the budget "spent".
        residual: r as it knew it.
        lengths: |r| after each step.
        direction: of the last two but one outcomes.
        energy: its account of the energy norm, of cg alone.
    """

    x: Tensor
    outcome: Outcome
    residual: Tensor
    lengths: tuple[float, ...]
    direction: Direction | None = None
    energy: Energy | None = None


@final
@dataclass(frozen=True, eq=False)
class State:
    """Where the runs so far have come to, checked.

    Attributes:
        x: the iterate.
        r: b - A x, computed.
        run: the last one.
        normal: |A' r| / (|A| |r|), if it was looked at.
        history: of all runs.
    """

    x: Tensor
    r: Tensor
    run: Run
    normal: float | None
    history: tuple[float, ...]


Iteration = Callable[[Tensor, Tensor], Run]


def refined(
    problem: Problem, iterate: Iteration, precondition: Precondition = identity
) -> Solution:
    """Runs of `iterate`, (x, r) to a `Run`, until one of the rules of `Status` says stop."""
    state = started(problem)
    status: Status | None = "converged" if is_solved(problem, state) else None
    while status is None:
        earlier = state
        state = advanced(problem, iterate, state, precondition)
        status = judged(problem, state, earlier, precondition)
        if status == "stagnated" and length(earlier.r) < length(state.r):
            state = replace(earlier, history=state.history)
    return described(problem, state, status, is_plain=precondition is identity)


def started(problem: Problem) -> State:
    """At x0; at zero if there is none, or if b = 0, which it solves."""
    x, r = problem.start, problem.rhs
    if x is None or not bool(r.any()):
        x = problem.rhs.new_zeros(problem.products.operator.shape[1])
    else:
        r = problem.residual(x)
    return State(x, r, Run(x, "done", r, ()), None, (length(r),))


def advanced(
    problem: Problem, iterate: Iteration, state: State, precondition: Precondition
) -> State:
    """The state after one more run, checked with a product or two."""
    run = iterate(state.x, state.r)
    r = state.r if run.x is state.x else problem.residual(run.x)
    after = State(run.x, r, run, None, state.history + run.lengths)
    if run.outcome == "least squares" and not is_solved(problem, after):
        return replace(after, normal=normal_residual(problem, r, precondition))
    return after


def normal_residual(problem: Problem, r: Tensor, precondition: Precondition) -> float:
    """|A' d| / (|A| |d|) for d = M r, by a product."""
    d = precondition(r)
    return length(problem.products.backward(d)) / (problem.products.norm * length(d) or 1.0)


def judged(
    problem: Problem, state: State, earlier: State, precondition: Precondition
) -> Status | None:
    """How it ended; None if another run is worth its products."""
    match state.run.outcome:
        case "negative curvature" | "boundary" as outcome:
            return outcome
        case _ if is_solved(problem, state):
            return "converged"
        case "flat":
            return "inconsistent"
        case "least squares" if is_least_squares(problem, state):
            return "least squares" if precondition is identity else "inconsistent"
    if state.run.outcome == "spent":
        return "out of products"
    if problem.is_at_rounding(length(state.r), state.x, ROUNDING_UNITS):
        return "stagnated"
    return None if is_better(state, earlier) else "stagnated"


def is_solved(problem: Problem, state: State) -> bool:
    """Whether the computed residual is within the tolerance."""
    return problem.is_solved(length(state.r), state.x)


def is_least_squares(problem: Problem, state: State) -> bool:
    """Whether the computed normal residual is within the tolerance."""
    normal, tol = state.normal, problem.tolerance.normal
    return normal is not None and tol is not None and normal <= tol


def is_better(state: State, earlier: State) -> bool:
    """Whether the last run shortened the residual or, of least squares, the normal one."""
    before = math.inf if earlier.normal is None else earlier.normal
    return length(state.r) <= SHORTER * length(earlier.r) or (
        state.normal is not None and state.normal <= SHORTER * before
    )


def described(problem: Problem, state: State, status: Status, *, is_plain: bool) -> Solution:
    """The result, in the units of the problem that was given."""
    residual, size = length(state.r), length(problem.rhs)
    reach = problem.products.norm * length(state.x) + size
    normal = state.normal if is_plain else None
    estimate, bound = energies(problem, state)
    return Solution(
        x=(state.x * problem.scale).to(problem.products.operator.dtype),
        status=status,
        residual=residual * problem.scale,
        relative_residual=residual / (size or 1.0),
        backward_error=residual / (reach or 1.0),
        normal_residual=normal,
        error=scaled(error_bound(problem, state, normal), problem.scale),
        energy_error=scaled(estimate, problem.scale),
        energy_bound=scaled(bound, problem.scale),
        direction=state.run.direction,
        products=problem.products.taken,
        history=tuple(each * problem.scale for each in state.history),
    )


def scaled(value: float | None, scale: float) -> float | None:
    """`value` in the units of the problem that was given."""
    return None if value is None else value * scale


def largest_residual(problem: Problem, state: State) -> float:
    """|r| and what rounding may have left out of it."""
    return length(state.r) + ROUNDING_UNITS * problem.rounding(state.x)


def error_bound(problem: Problem, state: State, normal: float | None) -> float | None:
    """|x - B^+ b| = |B^+ r| = |(B'B)^-1 B'r|, so at most |r| / gap and at most |B'r| / gap^2.

    None where no gap is known, or where a direction that was met denies it.
    """
    if not problem.gap or state.run.direction is not None:
        return None
    by_residual = largest_residual(problem, state) / problem.gap
    if normal is None:
        return by_residual
    rounding = ROUNDING_UNITS * (problem.products.eps * length(state.r) + problem.rounding(state.x))
    largest = problem.products.norm * (normal * length(state.r) + rounding)
    return min(by_residual, largest / problem.gap**2)


def energies(problem: Problem, state: State) -> tuple[float | None, float | None]:
    """cg's estimate and bound of the error in the energy norm.

    The bound counts the drift of the iteration's residual from the true one, whose energy norm is
    at most |drift| / sqrt(gap), and is no worse than |r| / sqrt(gap).
    """
    energy = state.run.energy
    if energy is None:
        return None, None
    if not problem.gap:
        return energy.estimate, None
    direct = largest_residual(problem, state) / math.sqrt(problem.gap)
    if energy.bound is None:
        return energy.estimate, direct
    drift = length(state.r - state.run.residual) + ROUNDING_UNITS * problem.rounding(state.x)
    return energy.estimate, min(direct, energy.bound + drift / math.sqrt(problem.gap))
