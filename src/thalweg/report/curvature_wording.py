"""What a survey of curvature says, in words that the terminal and the page share."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from thalweg.report.wording import counted, duration, number, percent, uncertainty

Data = Mapping[str, Any]

MOVES: Final = ("step", "loss", "lambda_max", "2/lambda_max", "lambda_min", "rate/maximal")


def steps_of(data: Data) -> str:
    """`step 0`, `steps 0, 100 and 500`: those that were asked for."""
    numbers = [f"{step:,}" for step in data["at"]]
    if len(numbers) == 1:
        return f"step {numbers[0]}"
    return f"steps {', '.join(numbers[:-1])} and {numbers[-1]}"


def title_of(step: Data) -> str:
    """The step, and whose."""
    who = step["optimizer"]
    several = f" {who['index'] + 1} of {who['count']}" if who["count"] > 1 else ""
    kind = f", {who['kind']}{several}" if who["kind"] else ""
    return f"Step {step['step']:,}{kind}"


def rows(step: Data) -> Iterator[tuple[str, str]]:
    """What was found at a step, by name."""
    yield "loss", f"{number(step['loss'])}, gradient {number(step['gradient_norm'])}"
    yield "parameters", f"{step['parameters']:,}"
    yield from point_rows(step["critical_point"])
    yield from rate_rows(step["learning_rate"])
    yield from sharpness_rows(step)
    yield from spectrum_rows(step["spectrum"])
    for note in step["notes"]:
        yield "note", note
    yield "cost", f"{counted(step['products'], 'product')} in {duration(step['seconds'])}"


def point_rows(point: Data) -> Iterator[tuple[str, str]]:
    """The kind of point, and the way out."""
    if "failed" in point:
        yield "point", unknown(point)
        return
    yield "point", f"{point['kind']}: {point['why']}"
    if point["escape"] and point["kind"] in ("saddle", "maximum"):
        step, gain = (number(point["escape"][name]) for name in ("step", "gain"))
        yield "", f"a step of {step} along its direction lowers the loss by {gain}"


def rate_rows(rate: Data) -> Iterator[tuple[str, str]]:
    """The learning rate in use beside the optimal and the maximal one."""
    if "failed" in rate:
        yield "learning rate", unknown(rate)
        return
    known = rate["in_use"] is not None
    if known:
        yield "learning rate", f"{number(rate['in_use'])} in use, {rate['says']}"
    yield "" if known else "learning rate", f"optimal {ranged(rate['optimal'])}"
    yield "", f"maximal {ranged(rate['maximal'])}, {rate['check']}"
    if rate["note"]:
        yield "", rate["note"]


def sharpness_rows(step: Data) -> Iterator[tuple[str, str]]:
    """The ends of the spectrum, and its sum."""
    for name, end in (("lambda_max", step["largest"]), ("lambda_min", step["smallest"])):
        if end is not None:
            yield name, f"{number(end['value'])} ± {uncertainty(end['error'])}"
    sharpness = step["sharpness"]
    if "failed" in sharpness:
        yield "trace", unknown(sharpness)
        return
    trace = sharpness["trace"]
    yield "trace", f"{number(trace['value'])} [{number(trace['low'])}, {number(trace['high'])}]"


def spectrum_rows(spectrum: Data) -> Iterator[tuple[str, str]]:
    """The signs and the condition number."""
    if "failed" in spectrum:
        yield "spectrum", unknown(spectrum)
        return
    signs = (f"{sign} {spread(spectrum[sign])}" for sign in ("negative", "zero", "positive"))
    yield "eigenvalues", ", ".join(signs)
    yield "condition", condition(spectrum["condition"])
    gain = spectrum["gain"]
    if gain and gain["number"] is not None:
        doubt = f", {percent(gain['unresolved'])} unresolved" if gain["unresolved"] else ""
        yield "", f"weighted by what is still to be gained: {number(gain['number'])}{doubt}"


def condition(found: Data) -> str:
    """The condition number, and over what."""
    if found["number"] is None:
        return "none: no eigenvalue is told apart from zero"
    least = "" if found["exact"] else "at least "
    rank = number(found["effective_rank"])
    return f"number {least}{number(found['number'])}, effective rank {rank}"


def unknown(answer: Data) -> str:
    """Why an answer is missing."""
    return f"no answer: {answer['failed']}"


def ranged(rate: Data) -> str:
    """A rate with its interval; unbounded where nothing is curved upwards."""
    if rate["value"] is None:
        return "unbounded: no direction is curved upwards"
    high = "unbounded" if rate["high"] is None else number(rate["high"])
    return f"{number(rate['value'])} [{number(rate['low'])}, {high}]"


def spread(count: Data) -> str:
    """How many eigenvalues: one number, or between which two."""
    low, high = number(count["low"]), number(count["high"])
    return low if low == high else f"{low} to {high}"


def move(step: Data) -> Iterator[str]:
    """The cells of a step."""
    who = step["optimizer"]
    yield f"{step['step']:,}" + (f" {who['kind']} {who['index'] + 1}" if who["count"] > 1 else "")
    yield number(step["loss"])
    largest, smallest = step["largest"], step["smallest"]
    yield number(largest["value"]) if largest else "?"
    yield number(2 / largest["value"]) if largest and largest["value"] > 0 else "unbounded"
    yield number(smallest["value"]) if smallest else "?"
    share = step["learning_rate"].get("share")
    yield number(share) if share is not None else "?"


def cost(data: Data) -> str:
    """What the survey took, and how the script ended."""
    budget = data["budget"]
    made = counted(data["script"]["steps"], "step")
    return f"{made} of the script, {duration(budget['seconds'])} of {duration(budget['limit'])}."


def grouped(step: Data) -> list[tuple[str, list[str]]]:
    """The rows of a step by name: a row without a name belongs to the one before."""
    found: list[tuple[str, list[str]]] = []
    for name, text in rows(step):
        if name:
            found.append((name, []))
        found[-1][1].append(text)
    return found
