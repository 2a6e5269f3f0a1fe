"""One search for a cause: suspect, try one change at a time, rank, verify.

    a recording  ->  suspicions  ->  trials, one change each, same seed
    ->  the cause that removes the harm  ->  verified on several seeds

A search begins from a run that was recorded in full: the script as it is, or the script under the
remedies found so far, so that a second fault is sought where the first one no longer hides it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from thalweg.doctor.ranking import Candidate, rank
from thalweg.doctor.repeatability import begin_alike
from thalweg.doctor.runs import Bench, Run, Wanted, name_of
from thalweg.doctor.standing import Measure, Standing, better, preference, standing
from thalweg.doctor.verification import MORE_SEEDS, SEEDS, Verification
from thalweg.interventions import Intervention, LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.registry import OBSTACLES
from thalweg.obstacles.suspicion import Proof, Suspicion

WORTH = 0.2  # what a suspicion must be worth after its trials to be verified at all
TRIES = 3  # remedies that may fail their verification before a search gives up
SEEN = 0.5  # the evidence that one of two faults which hide each other must have by itself
PAIRED = 4  # suspicions of which pairs are tried
CONTROLS: tuple[Proof, ...] = ((LearningRate(0.1),), (LearningRate(10.0),))


@dataclass(frozen=True)
class Proved:
    """A cause whose remedy held.

    Attributes:
        candidate: The cause with the trial that proves it.
        remedy: What to change for it; empty where a control proved it and nothing mends it.
        checked: The remedy (the control) on several seeds, against the script without it.
        found_with: What was changed already when it was found.
    """

    candidate: Candidate
    remedy: Proof
    checked: Verification
    found_with: Proof = ()


@dataclass
class Search:
    """One search, from a run recorded in full.

    Attributes:
        base: That run; what it was changed by stays changed in every trial.
        measure: What runs are compared by.
        only: Codes to look for; empty for all.
        found: Codes that need not be found again.
        candidates: Suspicions after their trials, most worth first.
        proved: The causes that were proved, most worth first: one, or two that hide each other.
        failed: Remedies that helped once and did not hold.
        trouble: Judgements that failed, in words.
    """

    bench: Bench
    base: Run
    measure: Measure
    only: Sequence[str] = ()
    found: Sequence[str] = ()
    suspicions: list[Suspicion] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    proved: list[Proved] = field(default_factory=list)
    failed: list[tuple[Candidate, Verification]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    tried: dict[str, Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = Evidence(self.base.recording)

    def run(self, least_strength: float = 0.0) -> None:
        """Search; a cause whose evidence is weaker than that is not verified."""
        self.suspicions = self._suspect()
        self._try()
        for one in [c for c in self.candidates if self._deserves(c, least_strength)][:TRIES]:
            if self._prove(one) or (one.second is not None and self._prove(one.second)):
                return
        self._control(least_strength)

    def _prove(self, one: Candidate) -> bool:
        """Verify the candidate's remedy; whether it held."""
        checked = self._verify(one.proof)
        if checked.held:
            self.proved.append(Proved(one, one.proof, checked, self.base.interventions))
        else:
            self.failed.append((one, checked))
        return checked.held

    def _control(self, least_strength: float) -> None:
        """A cause that no change mends, proved by one that should do harm and does none."""
        for one in [c for c in self.candidates if c.suspicion.controls]:
            if one.suspicion.strength < max(least_strength, SEEN) or self._affordable() < 1:
                continue
            for proof in one.suspicion.controls:
                self._make([(proof, f"a control of {one.suspicion.cause}")])
                run = self.tried.get(name_of(proof))
                checked = self._verify(proof) if run is not None else None
                if checked is not None and checked.harmless:
                    shown = replace(one, proof=proof, run=run, share=1.0, helped=True)
                    self.candidates = [shown if c is one else c for c in self.candidates]
                    self.proved.append(Proved(shown, (), checked, self.base.interventions))
                    return

    def _deserves(self, one: Candidate, least_strength: float) -> bool:
        return one.worth >= WORTH and one.suspicion.strength >= least_strength

    def _suspect(self) -> list[Suspicion]:
        """What the evidence raises, strongest first."""
        codes = [code for code in self.only or OBSTACLES if code not in self.found]
        found = [self._judge(code) for code in codes]
        return sorted((one for one in found if one), key=lambda one: -one.strength)

    def _judge(self, code: str) -> Suspicion | None:
        """One obstacle's judgement; one that fails is noted, and the others go on."""
        try:
            return OBSTACLES[code].judge(self.seen)
        except Exception as error:
            self.trouble.append(f"{code}: {type(error).__name__}: {error}")
            return None

    def _try(self) -> None:
        """The trials of the leading suspicions, then of the rest unless the cause is plain."""
        leading = [one for one in self.suspicions if one.strength >= SEEN]
        rest = [one for one in self.suspicions if one.strength < SEEN]
        self._make([*_proofs(leading), *((one, "control") for one in CONTROLS)])
        best = self.candidates[0] if self.candidates else None
        if best is None or not rest or best.worth <= rest[0].strength:
            self._make(_proofs(rest))
        self._explain()

    def _explain(self) -> None:
        """What could explain the leading cause away is tried before it leads."""
        seen: set[str] = set()
        while self.candidates and self.candidates[0].helped:
            suspicion = self.candidates[0].suspicion
            if suspicion.cause in seen:
                return
            seen.add(suspicion.cause)
            others = (*suspicion.unless, *suspicion.unless_better)
            self._make([(one, f"another reason than {suspicion.cause}") for one in others])

    def _make(self, proofs: Iterable[tuple[Proof, str]]) -> None:
        """These trials, as far as there is time for them, and the ranking after them."""
        new = {name_of(proof): (proof, why) for proof, why in proofs}
        new = {name: pair for name, pair in new.items() if name not in self.tried}
        names = list(new)[: self._affordable()]
        wanted = [Wanted(self._with(new[name][0]), 0, new[name][1]) for name in names]
        runs = self.bench.make(wanted, "Changing one thing at a time")
        self.tried |= dict(zip(names, runs, strict=True))
        fit = not self.seen.adversarial
        main = self.seen.main
        self.candidates = rank(self.suspicions, self.base, self.tried, self.measure, main, fit)

    def _with(self, proof: Proof) -> tuple[Intervention, ...]:
        return (*self.base.interventions, *proof)

    def _affordable(self) -> int:
        """As many trials as leave two fifths of the time for verification."""
        once = max(0.3, self.base.outcome.seconds) / self.bench.runner.jobs
        return int(max(4.0 if not self.tried else 0.0, 0.6 * self.bench.seconds_left / once))

    def _verify(self, proof: Proof) -> Verification:
        """The change and doing nothing, on the other seeds."""
        before, after = self.base.interventions, self._with(proof)
        seeds = self._sound(before, after, list(SEEDS if self.alike else MORE_SEEDS)[1:])
        made = self._both(before, after, seeds)
        ends = [self._end(run) for run in made]
        first = [self._end(run) for run in (self.base, self.bench.runs[name_of(after), 0])]
        half = len(seeds)
        ends_before, ends_after = (first[0], *ends[:half]), (first[1], *ends[half:])
        return Verification((0, *seeds), ends_before, ends_after, self.alike)

    def _both(self, before: Proof, after: Proof, seeds: Sequence[int]) -> list[Run]:
        """The runs on these seeds without the change, then those with it."""
        wanted = [Wanted(what, seed) for what in (before, after) for seed in seeds]
        return self.bench.make(wanted, "Verifying")

    def _sound(self, before: Proof, after: Proof, seeds: list[int]) -> list[int]:
        """The seeds, others in the place of those that spoil the script's data.

        Where the loss is no number before the first update, although it was one on the first seed,
        no change of training can be told from another.
        """
        spoilt = [
            seed
            for seed, run in zip(seeds, self._both(before, after, seeds), strict=False)
            if math.isfinite(self.seen.losses[0]) and self._begins_broken(run)
        ]
        kept = [seed for seed in seeds if seed not in spoilt]
        return kept + [seeds[-1] + 1 + at for at in range(len(spoilt))]

    def _begins_broken(self, run: Run) -> bool:
        losses = run.recording.losses(self.seen.main)
        return bool(losses) and not math.isfinite(losses[0])

    @property
    def alike(self) -> bool:
        """Whether the same seed means the same numbers, as far as the trials tell."""
        return begin_alike(self.base, self.tried.values())

    def _end(self, run: Run) -> Standing:
        return standing(run.recording, self.measure, self.seen.main)

    def pair(self) -> None:
        """Two faults of which neither mended alone helps: the leading suspicions two by two."""
        leading = [one for one in self.candidates if one.run and one.suspicion.strength >= SEEN]
        leading.sort(key=lambda one: -one.suspicion.strength)
        pairs = list(combinations(leading[:PAIRED], 2))[: self._affordable()]
        joint = [(*a.proof, *b.proof) for a, b in pairs if not _alike(a.proof, b.proof)]
        pairs = [(a, b) for a, b in pairs if not _alike(a.proof, b.proof)]
        self.bench.make([Wanted(self._with(one), 0, "two at once") for one in joint], "Two changes")
        start = self._end(self.base)
        ends = [self._end(self.bench.runs[name_of(self._with(one)), 0]) for one in joint]
        helped = [at for at, end in enumerate(ends) if better(start, end)]
        for at in sorted(helped, key=lambda at: preference(start, ends[at]))[-1:]:
            checked = self._verify(joint[at])
            if checked.held:
                other = (self.base.interventions,)
                self.proved += [Proved(one, one.proof, checked, *other) for one in pairs[at]]


def _proofs(suspicions: Sequence[Suspicion]) -> list[tuple[Proof, str]]:
    return [(proof, one.cause) for one in suspicions for proof in one.proofs]


def _alike(a: Proof, b: Proof) -> bool:
    """Whether two changes touch the same thing."""
    return bool({one.kind for one in a} & {one.kind for one in b})
