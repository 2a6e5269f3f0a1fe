"""One examination of a script: watch it, find one cause, then what that one hid, and verify.

    with nothing changed  ->  a search  ->  under its remedy  ->  a search for a second fault
    ->  as many random changes, as a control of the remedies

Nothing here touches PyTorch: the script runs in child processes, and what comes back is plain data.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from thalweg.doctor import holding_out
from thalweg.doctor.control import Control, controlled
from thalweg.doctor.ranking import Candidate
from thalweg.doctor.refusals import (
    NOTHING,
    UNHEARD,
    is_the_scripts,
    not_recorded,
    without_updates,
)
from thalweg.doctor.repeatability import SAYS as RUNS_DIFFER
from thalweg.doctor.runs import Bench, Run, name_of
from thalweg.doctor.search import Proved, Search
from thalweg.doctor.standing import Measure
from thalweg.doctor.stopping import ceilings
from thalweg.doctor.verification import Verification
from thalweg.interventions import Intervention
from thalweg.obstacles.evidence import Evidence
from thalweg.trials.advice import advice

Verdict = Literal["healthy", "obstructed", "unknown"]

# A short script's diagnosis costs at most 20 plain runs; two are left for what is not a run.
TIMES_PLAIN = 18.0
SHARE_OF_BASE = 0.1  # of the budget, for the first run of a long script
SHORT = 20.0  # seconds that a script may take in any case, but never more than half of the budget
FAULTS = 3  # that are sought one after the other
# After a first remedy a script trains; what else is named has to be seen and not only to help.
PLAIN_EVIDENCE = 0.6


class ScriptFailed(Exception):
    """The script fails by itself; what it printed is kept, and what to do about it if known."""

    def __init__(self, exit_code: int, stdout: str, stderr: str, hint: str = "") -> None:
        says = f"the script fails by itself, with exit code {exit_code}"
        super().__init__(f"{says}: {hint}" if hint else says)
        self.exit_code, self.stdout, self.stderr, self.hint = exit_code, stdout, stderr, hint


class Examination:
    """One diagnosis under way. Whatever interrupts it, what is known so far stays readable.

    Args:
        bench: Where runs are made.
        script: The script, and ``arguments`` its command line.
        only: Codes to look for; empty for all.
        budget: Seconds for everything, from ``began`` on.
        control: Whether random changes are tried beside a remedy.
    """

    def __init__(
        self, bench: Bench, script: Path, arguments: tuple[str, ...], only: tuple[str, ...],
        budget: float, began: float, control: bool = True,
    ) -> None:  # fmt: skip
        self.bench, self.script, self.arguments, self.only = bench, script, arguments, only
        self.budget, self.began, self.wants_control = budget, began, control
        self.base: Run | None = None
        self.measure: Measure = None
        self.without_held_out: str | None = None  # why there is none, once that was asked
        self.searches: list[Search] = []
        self.control: Control | None = None
        self.interrupted = False
        self.plain_seconds = 0.0

    def examine(self) -> None:
        """Everything that takes time; Ctrl-C ends it and keeps what is known."""
        try:
            self.watch()
            if self._decidable and self.bench.seconds_left > 0:
                self.decide()
        except KeyboardInterrupt:
            self.interrupted = True

    def watch(self) -> None:
        """Run the script as it is."""
        limit = max(min(SHORT, self.budget / 2), SHARE_OF_BASE * self.budget)
        base = self.bench.watch((), limit)
        if is_the_scripts(base.outcome):
            raise ScriptFailed(
                base.outcome.exit_code or 1,
                _text(base.outcome.stdout_path),
                _text(base.outcome.stderr_path),
                advice(base.outcome),
            )
        self.base = base
        self.measure = base.recording.measure()
        self.plain_seconds = self.bench.runner.import_seconds + base.outcome.seconds
        short = TIMES_PLAIN * self.plain_seconds
        self.bench.deadline = self.began + min(self.budget, max(short, 20.0))
        self.bench.max_seconds = max(10.0, 3 * base.outcome.seconds)
        if base.outcome.ended == "seconds":
            made = max((row["step"] + 1 for row in base.recording.steps), default=1)
            self.bench.max_steps = min(made, self.bench.max_steps or made)
            self.measure = None  # the evaluation at the script's end was never reached
        if self.measure is None and self._decidable:
            self._hold_out(base)

    def _hold_out(self, base: Run) -> None:
        """Watch it again with samples set aside, and compare runs by their loss, if that is one."""
        self.without_held_out = holding_out.refusal(base.recording.counts)
        if self.without_held_out:
            return
        self.bench.set_aside = holding_out.share(base.recording.counts)
        again = self.bench.watch((), self.bench.max_seconds)
        self.without_held_out = holding_out.flaw(again)
        if self.without_held_out:
            self.bench.set_aside = 0.0
        else:
            self.base, self.measure = again, holding_out.MEASURE

    @property
    def seen(self) -> Evidence | None:
        """The evidence of the first run; None if it never trained."""
        if self.base is None or not self.base.recording.steps:
            return None
        return Evidence(self.base.recording)

    @property
    def _decidable(self) -> bool:
        """Whether there is a run, seen to its end, that others can be compared with."""
        seen = self.seen is not None and not self._broken
        return seen and not self._unheard and not self._incomparable

    def decide(self) -> None:
        """Find a cause; then, under its remedy, what it hid; then the control."""
        base, seen = self._known()
        if len(seen.recording.optimizers) == 1:
            self.bench.ceilings = ceilings(seen.losses)
        self._search(base)
        if not self.proved and self._stuck:
            self.searches[0].pair()
        while self.remedy and len(self.proved) < FAULTS and self.bench.seconds_left > 0:
            before = len(self.proved)
            under = self.bench.watch(self.remedy, self.bench.max_seconds)
            if under.outcome.ended != "finished" and base.outcome.ended == "finished":
                break
            self._search(under, PLAIN_EVIDENCE)
            if len(self.proved) == before:
                break
        if self.remedy and self.wants_control:
            self._compare(base)

    def _search(self, base: Run, least_strength: float = 0.0) -> None:
        found = [one.candidate.suspicion.cause for one in self.proved]
        self.searches.append(Search(self.bench, base, self.measure, self.only, found))
        self.searches[-1].run(least_strength)

    def _compare(self, base: Run) -> None:
        """The remedies against as many random changes as were tried to find them."""
        tried = sum(len(one.tried) for one in self.searches)
        checked = [one for one in self.proved if one.remedy][-1].checked
        self.control = controlled(
            self.bench, base, tried, self.measure, checked.after, checked.seeds
        )

    @property
    def proved(self) -> list[Proved]:
        """The causes whose remedies held, in the order in which they were found."""
        return [one for search in self.searches for one in search.proved]

    @property
    def remedy(self) -> tuple[Intervention, ...]:
        """All remedies together."""
        return tuple(change for one in self.proved for change in one.remedy)

    @property
    def candidates(self) -> list[Candidate]:
        """The suspicions of the script as it is, after their trials."""
        return self.searches[0].candidates if self.searches else []

    @property
    def failed(self) -> list[tuple[Candidate, Verification]]:
        """The remedies for the script as it is that did not hold."""
        return self.searches[0].failed if self.searches else []

    @property
    def trouble(self) -> list[str]:
        """Judgements that failed, in words."""
        return [one for search in self.searches for one in search.trouble]

    @property
    def _stuck(self) -> bool:
        """Whether the loss hardly falls, or leaves the numbers."""
        _, seen = self._known()
        if not math.isfinite(seen.final_loss):
            return True
        return not seen.adversarial and seen.final_loss > 0.9 * seen.initial_loss > 0

    @property
    def _broken(self) -> bool:
        """Whether what stands around the script failed, and not the script."""
        return self.base is not None and self.base.outcome.ended == "crashed"

    @property
    def _unheard(self) -> bool:
        """Whether updates were seen, and never a loss that they come from."""
        if self.seen is None or self.seen.recording.samples:
            return False
        return not any(math.isfinite(one) for one in self.seen.losses)

    @property
    def _differing(self) -> bool:
        """Whether runs differ although nothing is changed."""
        return any(not search.alike for search in self.searches)

    @property
    def _incomparable(self) -> bool:
        """Whether there is nothing to compare runs by: a critic that wins has a lower loss too."""
        seen = self.seen
        if seen is None or self.measure is not None:
            return False
        return seen.adversarial and math.isfinite(seen.final_loss)

    @property
    def _tried(self) -> bool:
        """Whether at least one changed run was not cut off."""
        changed = [run for run in self.bench.runs.values() if run.interventions]
        return any(run.outcome.ended != "interrupted" for run in changed)

    @property
    def _untried(self) -> str | None:
        """The cause that the evidence suspects most of those that time was too short to try."""
        if not self.searches:
            return None
        tried = self.searches[0].tried
        for one in self.candidates:
            suspicion = one.suspicion
            runs = [tried.get(name_of(tuple(proof))) for proof in suspicion.proofs]
            ended = [run is not None and run.outcome.ended != "interrupted" for run in runs]
            if suspicion.strength >= PLAIN_EVIDENCE and runs and not any(ended):
                return suspicion.cause
        return None

    def _known(self) -> tuple[Run, Evidence]:
        """The first run and its evidence, once there are."""
        seen = self.seen
        if self.base is None or seen is None:
            raise RuntimeError("the script has to be watched before anything is decided")
        return self.base, seen

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict and a sentence why, from whatever is known."""
        verdict, reason = self._verdict()
        return verdict, f"{reason} {RUNS_DIFFER}" if self._differing else reason

    def _verdict(self) -> tuple[Verdict, str]:
        if self.proved:
            return "obstructed", self.proved[0].candidate.suspicion.summary
        if self.interrupted:
            return "unknown", "The diagnosis was interrupted before anything was proved."
        if self.base is not None and self._broken:
            return "unknown", not_recorded(self.base.outcome)
        seen = self.seen
        if seen is None or self.base is None:
            return "unknown", without_updates(self.base.outcome) if self.base else NOTHING
        if self._unheard:
            return "unknown", UNHEARD
        if self._incomparable:
            return (
                "unknown",
                "Several optimizers follow losses of their own and the script evaluates nothing: "
                "a lower loss of one of them would prove nothing.",
            )
        if not self._tried:
            return "unknown", "The budget was over before anything could be tried; give more."
        if not math.isfinite(seen.final_loss):
            return (
                "unknown",
                "The loss stops being finite, and no change that was tried prevents it.",
            )
        if self._stuck:
            return "unknown", "The loss hardly falls, and no change that was tried makes it fall."
        if self._untried:
            return (
                "unknown",
                f"The budget was over before {self._untried}, which the evidence suspects, could "
                "be tried; give more.",
            )
        return "healthy", "Nothing that was tried makes this script train materially better."


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
