"""From suspicions and their trials to the cause that is named first.

What a suspicion is worth is the strength of its evidence times the part of the harm that its best
trial removed: a fault that was seen itself and whose cure works is named before a cure that merely
works, and evidence without a cure names nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from thalweg.doctor.runs import Run, name_of
from thalweg.doctor.standing import (
    Measure,
    Standing,
    better,
    fits_better,
    preference,
    share,
    standing,
)
from thalweg.obstacles.suspicion import Proof, Suspicion

EXPLAINED = 0.7  # of the harm, removed by a change that explains a suspicion away


@dataclass(frozen=True)
class Candidate:
    """A suspicion after its trials.

    Attributes:
        proof: What the trial that removed most of the harm changed; empty if none was made.
        run: That trial; None if none was made.
        share: The part of the harm that it removed, against the best run of all.
        helped: Whether that is more than one comparison can show by chance.
        second: The same suspicion with the proof that helped next best, if one did.
    """

    suspicion: Suspicion
    proof: Proof
    run: Run | None
    share: float
    helped: bool
    second: Candidate | None = None

    @property
    def worth(self) -> float:
        """Strength of the evidence times the part of the harm removed."""
        return self.suspicion.strength * max(0.0, min(1.0, self.share)) if self.helped else 0.0


def rank(
    suspicions: Sequence[Suspicion], base: Run, runs: Mapping[str, Run], measure: Measure,
    optimizer: int, compare_fit: bool,
) -> list[Candidate]:  # fmt: skip
    """The suspicions with their best trials, most worth first; runs by the names of proofs."""
    start = standing(base.recording, measure, optimizer)
    ends = {name: standing(run.recording, measure, optimizer) for name, run in runs.items()}
    best = max([start, *ends.values()], key=lambda one: preference(start, one))
    candidates = []
    for suspicion in suspicions:
        fit = compare_fit and suspicion.fits
        found = _candidate(suspicion, runs, start, ends, best, fit)
        others = [ends[n] for n in map(name_of, suspicion.unless) if n in ends]
        found = _unless_explained(found, others, start, ends)
        rivals = [ends[n] for n in map(name_of, suspicion.unless_better) if n in ends]
        candidates.append(_unless_beaten(found, rivals, ends))
    return sorted(candidates, key=lambda one: -one.worth)


def _unless_explained(
    found: Candidate, others: Sequence[Standing], start: Standing, ends: Mapping[str, Standing]
) -> Candidate:
    """The candidate, fallen if one of the others removes most of the harm that it removes."""
    if found.run is None or not found.helped:
        return found
    own = ends[name_of(found.proof)]
    if not any(share(start, one, own) > EXPLAINED for one in others):
        return found
    return replace(found, helped=False)


def _unless_beaten(
    found: Candidate, rivals: Sequence[Standing], ends: Mapping[str, Standing]
) -> Candidate:
    """The candidate, fallen if one of the rivals does materially better than its own best proof."""
    if found.run is None or not found.helped:
        return found
    own = ends[name_of(found.proof)]
    return replace(found, helped=False) if any(better(own, one) for one in rivals) else found


def _candidate(
    suspicion: Suspicion, runs: Mapping[str, Run], start: Standing, ends: Mapping[str, Standing],
    best: Standing, fit: bool,
) -> Candidate:  # fmt: skip
    def removed(proof: Proof) -> float:
        return share(start, ends[name_of(proof)], best)

    def counts(proof: Proof) -> bool:
        end = ends[name_of(proof)]
        return better(start, end) and (not fit or fits_better(start, end))

    tried = [proof for proof in suspicion.proofs if name_of(proof) in runs]
    if not tried:
        return Candidate(suspicion, (), None, 0.0, False)

    def preferred(proof: Proof) -> tuple[float, tuple[float, float]]:
        return removed(proof), preference(start, ends[name_of(proof)])

    helped = sorted(filter(counts, tried), key=preferred, reverse=True)
    made = [Candidate(suspicion, one, runs[name_of(one)], removed(one), True) for one in helped]
    if not made:
        chosen = max(tried, key=removed)
        return Candidate(suspicion, chosen, runs[name_of(chosen)], removed(chosen), False)
    return replace(made[0], second=made[1] if len(made) > 1 else None)
