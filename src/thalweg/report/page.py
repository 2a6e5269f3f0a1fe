"""What the HTML page shows, in order, as plain records: the template only lays them out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from thalweg.report.curves import (
    Curve,
    break_step,
    finite,
    is_jagged,
    loss_of,
    measure_of,
    settled,
)
from thalweg.report.figures import Spec, lines_chart, seeds_chart, small_chart
from thalweg.report.proof import changed_trial, has_curve, mean
from thalweg.report.scales import scale_of
from thalweg.report.tables import AS_IT_IS, CHANGED
from thalweg.report.wording import number, seeds

THUMBNAILS: Final = 12

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """An entry of a chart's key: which line, what it is, where it ends."""

    role: str
    label: str
    says: str


@dataclass(frozen=True)
class Figure:
    """A chart with its heading, key and caption. `name` is its place among the page's charts."""

    name: str
    heading: str
    caption: str
    spec: Spec
    keys: Sequence[Key]


@dataclass(frozen=True)
class Finding:
    """A finding and its figures."""

    data: Data
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Cleared:
    """A cause that was ruled out, and the figure that shows it, if one does."""

    data: Data
    figure: Figure | None


@dataclass(frozen=True)
class Page:
    """Everything that the page shows beside the report itself."""

    findings: Sequence[Finding]
    run: Sequence[Figure]
    cleared: Sequence[Cleared]
    trials: Sequence[Data]
    charts: Mapping[str, Spec] = field(default_factory=dict)


def page(data: Data) -> Page:
    """The page of the report `data`."""
    baseline = data["baseline"]
    findings = [
        Finding(
            finding,
            list(proof_figures(finding, finding.get("baseline") or baseline, f"finding-{index}")),
        )
        for index, finding in enumerate(data["findings"])
    ]
    alone = baseline if not any(finding.figures for finding in findings) else None
    run = list(run_figures({AS_IT_IS: alone}, "run")) if alone else []
    cleared = list(cleared_causes(data["ruled_out"], baseline))
    figures = [figure for finding in findings for figure in finding.figures]
    figures += run + [item.figure for item in cleared if item.figure]
    charts = {figure.name: figure.spec for figure in figures}
    return Page(findings, run, cleared, all_trials(data), charts)


def proof_figures(finding: Data, baseline: Data | None, name: str) -> Iterator[Figure]:
    """Loss, measure and verified seeds: as the script is, and with the change."""
    changed = changed_trial(finding, baseline)
    if changed:
        both = {AS_IT_IS: baseline, CHANGED: changed} if baseline else {CHANGED: changed}
        yield from run_figures(both, name)
    verified = finding["verified"]
    if verified and finite([*verified["before"], *verified["after"]]):
        yield seeds_figure(verified, name)


def run_figures(trials: Mapping[str, Data], name: str) -> Iterator[Figure]:
    """Loss and measure of trials, by role."""
    losses = {role: loss_of(trial) for role, trial in trials.items()}
    measures = {role: measure_of(trial) for role, trial in trials.items() if trial["measure"]}
    labels = {role: label(role, trial) for role, trial in trials.items()}
    if any(finite(curve.values) for curve in losses.values()):
        yield lines_figure(f"{name}-loss", "Training loss", losses, labels)
    if any(finite(curve.values) for curve in measures.values()):
        title = next(trial["measure"]["name"] for trial in trials.values() if trial["measure"])
        yield lines_figure(f"{name}-measure", capitalized(title), measures, labels)


def label(role: str, trial: Data) -> str:
    """What a line is called: its role, and of a changed run, the change."""
    return role if role == AS_IT_IS else f"{role}: {trial['name']}"


def capitalized(text: str) -> str:
    """`text` with a large first letter and the rest as it is."""
    return text[:1].upper() + text[1:]


def lines_figure(
    name: str, heading: str, curves: Mapping[str, Curve], labels: Mapping[str, str]
) -> Figure:
    """A chart of curves over steps, and the words that go with it."""
    keys = [Key(role, labels[role], ends(curve)) for role, curve in curves.items()]
    told = "; ".join(f"{key.label}, {key.says}" for key in keys)
    description = f"{heading} over optimizer steps. {capitalized(told)}."
    spec = lines_chart(curves, description)
    return Figure(name, heading, reading(curves), spec, keys)


def ends(curve: Curve) -> str:
    """Where a curve ends, in words."""
    broken = break_step(curve)
    if not curve.values:
        return "not seen"
    if settled(curve) is None and broken is not None:
        return f"not finite from step {number(broken)}"
    return f"ends at {number(settled(curve))}"


def reading(curves: Mapping[str, Curve]) -> str:
    """How to read the chart: what its lines, scale and crosses are."""
    scale = scale_of(curves, CHANGED)
    jagged = any(map(is_jagged, curves.values()))
    parts = [
        "Thick: running median; thin: every step." if jagged else "",
        "Logarithmic scale." if scale.logarithmic else "",
        f"Values above {number(scale.high)} are cut off." if scale.cut else "",
        "A cross: no longer finite."
        if any(break_step(c) is not None for c in curves.values())
        else "",
    ]
    return " ".join(filter(None, parts))


def seeds_figure(verified: Data, name: str) -> Figure:
    """The verified measure on each seed, and the words that go with it."""
    means = {AS_IT_IS: mean(verified["before"]), CHANGED: mean(verified["after"])}
    keys = [Key(role, role, f"mean {number(value)}") for role, value in means.items()]
    better = "Higher" if verified["higher_is_better"] else "Lower"
    heading = f"{capitalized(verified['measure'])} on {seeds(verified['seeds'])}"
    told = ", ".join(f"{key.label} {key.says}" for key in keys)
    description = f"{heading}: {told}."
    spec = seeds_chart(verified, description)
    return Figure(f"{name}-seeds", heading, f"{better} is better.", spec, keys)


def cleared_causes(items: Sequence[Data], baseline: Data | None) -> Iterator[Cleared]:
    """What was ruled out; the first few that a run cleared with its thumbnail."""
    shown = [item for item in items if item["trial"] and has_curve(item["trial"])][:THUMBNAILS]
    for index, item in enumerate(shown):
        yield Cleared(item, thumbnail(item["trial"], baseline, f"cleared-{index}"))
    yield from (Cleared(item, None) for item in items if not any(item is one for one in shown))


def thumbnail(trial: Data, baseline: Data | None, name: str) -> Figure:
    """The loss of a trial beside the baseline's; the measure's when no loss was seen."""
    curve_of = loss_of if finite(loss_of(trial).values) else measure_of
    roles = {AS_IT_IS: baseline, CHANGED: trial} if baseline else {CHANGED: trial}
    curves = {role: curve_of(data) for role, data in roles.items()}
    keys = [Key(CHANGED, trial["name"], ends(curves[CHANGED]))]
    quantity = "Loss" if curve_of is loss_of else capitalized(trial["measure"]["name"])
    description = f"{quantity} over optimizer steps, {trial['name']}: {keys[0].says}."
    return Figure(name, "", "", small_chart(curves, description), keys)


def all_trials(data: Data) -> list[Data]:
    """Every run that the report holds, each once: the baseline first."""
    found = [data["baseline"]]
    found += [trial for finding in data["findings"] for trial in finding["trials"]]
    found += [item["trial"] for item in data["ruled_out"]]
    unique = {(trial["name"], trial["seed"]): trial for trial in reversed(found) if trial}
    return list(reversed(unique.values()))
