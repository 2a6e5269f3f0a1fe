"""Repair beside what people do without a diagnosis, with the same number of runs.

* random search: as many random changes as the diagnosis made runs, the best by the script's own
  metric taken (which no real search could see: it is the test metric);
* a recipe: Adam at 1e-3, inputs standardized, gradients clipped at 1;
* a learning-rate finder: the rate rises a millionfold over the first hundred steps; the one at the
  steepest fall of the smoothed loss is taken for a whole run.
"""

import math
from pathlib import Path

from section import Section

from diagnosing.cases import metric_in, repaired
from diagnosing.rate_ramp import RateRamp, suggested
from thalweg.doctor.control import MOST, draws, standardized
from thalweg.doctor.instruments import RECORD
from thalweg.interventions import Clipping, LearningRate, OptimizerSwap
from thalweg.obstacles.evidence import Evidence
from thalweg.recorder import Recording
from thalweg.trials import Runner

RAMP = "diagnosing.rate_ramp:ramped"
WAYS = ("random search", "recipe", "rate finder")


def tried(case, row):
    """Metrics of a faulty script under each of the ways; None where a way gives none."""
    runs = min(MOST, (row["report"] or {"budget": {"trials": MOST}})["budget"]["trials"])
    with Runner(case.script) as runner:
        (plain,) = runner.run([_trial(runner, (), 60.0)])
        seen = Evidence(Recording.read(plain.folder))
        most = max(10.0, 3 * plain.seconds)
        changes = [_recipe(seen), *draws(runs, seen)]
        done = runner.run([_trial(runner, one, most) for one in changes])
        found = [metric_in(Path(one.stdout_path).read_text(errors="replace")) for one in done]
        pick = max if case.higher_is_better else min
        finite = [one for one in found[1:] if one is not None]
        best = pick(finite) if finite else None
        return {
            "random search": best,
            "recipe": found[0],
            "rate finder": _by_finder(runner, seen, most),
        }


def _recipe(seen):
    """Clipping, Adam where an optimizer steps, standardized inputs where they have moments."""
    adam = [OptimizerSwap("adam", 1e-3)] if seen.optimizer else []
    return (Clipping(1.0), *adam, *standardized(seen))


def _by_finder(runner, seen, most):
    if not seen.optimizer or not seen.rate:
        return None
    ramp = RateRamp(min(100, len(seen.losses)))
    (run,) = runner.run([_trial(runner, (), most, {"make": RAMP, "steps": ramp.steps})])
    losses = Recording.read(run.folder).losses(seen.main)[: ramp.steps]
    factor = suggested([math.nan if one is None else one for one in losses], ramp)
    (run,) = runner.run([_trial(runner, (LearningRate(factor),), most)])
    return metric_in(Path(run.stdout_path).read_text(errors="replace"))


def _trial(runner, changes, most, *around):
    record = {"make": RECORD, "interventions": [one.as_data() for one in changes]}
    return runner.trial("run", instruments=(*around, record), max_seconds=most)


def repairs(title, found):
    """The section, from (case, row, metrics by way)."""
    words = "Faulty scripts of which half of the gap to the fixed one, or more, is recovered."
    section = Section(title, words, ["", "repaired", "share"])
    ours = [row["repaired"] for _, row, _ in found]
    ways = {"diagnosis": ours} | {
        way: [repaired(case, row["faulty"], metrics[way], row["fixed"])
              for case, row, metrics in found]
        for way in WAYS
    }  # fmt: skip
    for way, flags in ways.items():
        share = f"{sum(flags) / len(flags):.0%}" if flags else "–"
        section.rows.append([way, f"{sum(flags)} of {len(flags)}", share])
    return section
