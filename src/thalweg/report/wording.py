"""Numbers, durations and verdicts as words, the same in the terminal and on the page."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from thalweg.report.causes import title

VERDICTS: Final = {
    "healthy": "No obstacle found",
    "obstructed": "Obstructed",
    "unknown": "Not decided",
    "watched": "Nothing suspected",
}

TROUBLES: Final = {
    "loss": "The loss is not finite",
    "gradient": "The gradient is not finite",
    "parameter": "A parameter is not finite",
    "data": "The data are not finite",
    "exception": "An exception",
}

ENDINGS: Final = {
    "finished": "ran to its end",
    "steps": "stopped at its limit of steps",
    "seconds": "stopped at its limit of time",
    "crashed": "crashed",
    "killed": "was killed",
    "interrupted": "was interrupted",
}

NOT_FINITE: Final = "not finite"
# Controls, lone surrogates, unassigned, and marks that turn the direction of what follows them.
UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Cn", "Co"})
TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def headline(data: Mapping[str, Any]) -> str:
    """The verdict in a few words; of an obstructed script, the first cause."""
    if data["verdict"] == "obstructed" and data["findings"]:
        return title(data["findings"][0]["cause"])
    if data.get("watched"):
        return watched_headline(data["watched"])
    return VERDICTS[data["verdict"]]


def watched_headline(watched: Mapping[str, Any]) -> str:
    """What broke, else the strongest suspicion, else that there is none."""
    if watched["trouble"]:
        return TROUBLES[watched["trouble"]["kind"]]
    if watched["suspicions"]:
        return f"Suspected: {title(watched['suspicions'][0]['cause'])}"
    return VERDICTS["watched"]


def watched_cost(data: Mapping[str, Any]) -> str:
    """What watching took, and how many steps it saw in full."""
    watched, steps = data["watched"], data["script"]["steps"] or 0
    share = f"{100 * watched['overhead']:.1f} % of the run (limit {percent(watched['budget'])})"
    return f"Watching took {share}; {watched['sampled']:,} of {counted(steps, 'step')} in full."


def number(value: Any) -> str:
    """Four significant digits: `0.1`, `12,345`, `1.25e-8`; `not finite` for None.

    Texts pass as they are, lists item by item.
    """
    match value:
        case None:
            return NOT_FINITE
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return numeral(value)
        case list() | tuple():
            return listed(value)
    return str(value)


def numeral(value: float) -> str:
    """A finite number with four significant digits."""
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    text = f"{value:,.0f}" if size >= 1000 or value == int(value) else f"{value:.4g}"
    return text.replace("-", "−")


def uncertainty(value: float) -> str:
    """An error with two significant digits: more would be an error of its own."""
    return numeral(float(f"{value:.2g}"))


def listed(values: Sequence[Any], most: int = 8) -> str:
    """The first items of a list, and how many more there are."""
    shown = ", ".join(number(value) for value in values[:most])
    return f"{shown}, and {len(values) - most} more" if len(values) > most else shown


def signed(value: float) -> str:
    """A difference with its sign: `+0.836`."""
    return f"+{numeral(value)}" if value > 0 else numeral(value)


def quantity(measurement: Mapping[str, Any], key: str = "value") -> str:
    """A value or limit of a measurement with its unit; the value with its error."""
    text = number(measurement[key])
    if key == "value" and measurement.get("error") is not None:
        text += f" ± {uncertainty(measurement['error'])}"
    unit = measurement.get("unit", "")
    return f"{text} {unit}" if unit else text


def percent(share: float | None) -> str:
    """`97 %`, for 0.97."""
    return NOT_FINITE if share is None else f"{100 * share:.0f} %".replace("-", "−")


def duration(seconds: float | None) -> str:
    """`0.4 s`, `41 s`, `2 min 5 s`, `1 h 3 min`."""
    if seconds is None:
        return "an unknown time"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `14 trials`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def words(name: str) -> str:
    """`sharpness ratio`, for the name `sharpness_ratio`."""
    return name.replace("_", " ").replace("-", " ")


def ending(trial: Mapping[str, Any]) -> str:
    """How a trial ended, with its reason when there is one: `crashed: out of memory`."""
    text = ENDINGS[trial["ended"]]
    return f"{text}: {trial['reason']}" if trial["reason"] else text


def summary(data: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """The finding's sentence; empty when it is the reason of the verdict, which stands above it."""
    return "" if finding["summary"] == data["reason"] else finding["summary"]


def seeds(values: Iterable[int]) -> str:
    """`seed 0`, `seeds 0, 1, 2`."""
    texts = [str(value) for value in values]
    return f"seed{'' if len(texts) == 1 else 's'} {', '.join(texts)}"


def gain(verified: Mapping[str, Any]) -> str:
    """`gain +0.836 ± 0.004 over seeds 0, 1, 2. `; empty when it is not a finite number."""
    if verified["gain"] is None:
        return ""
    error = "" if verified["error"] is None else f" ± {uncertainty(verified['error'])}"
    return f"gain {signed(verified['gain'])}{error} over {seeds(verified['seeds'])}. "


def remedy_heading(finding: Mapping[str, Any]) -> str:
    """What to call the remedy: only one that held is called a thing to do."""
    if finding["verified"] is None:
        return "What to try (not verified)"
    return "What to change" if finding["verified"]["held"] else "What did not help"


def joined_by(finding: Mapping[str, Any]) -> str:
    """How a further finding stands to the first: `Or` where it may be the cause in its place."""
    return "Or" if finding.get("role") == "alternative" else "Also"


def against_chance(control: Mapping[str, Any]) -> str:
    """What random changes did beside the remedy, with the numbers."""
    if not control["interventions"]:
        return str(control["says"])
    pair = f"{number(control['random'])} with it, {number(control['remedied'])} remedied"
    return f"{control['says']} On the same seeds: {pair}."


def command(data: Mapping[str, Any]) -> str:
    """The script as it was called: `train.py --epochs 3`."""
    return " ".join([data["script"]["path"], *data["script"]["arguments"]])


def printable(value: Any) -> Any:
    """`value` with every text in it safe to show: marks that steer a terminal become `�`."""
    match value:
        case str():
            return "".join(map(printable_character, value))
        case Mapping():
            return {printable(key): printable(item) for key, item in value.items()}
        case list() | tuple():
            return [printable(item) for item in value]
    return value


def printable_character(character: str) -> str:
    """The character, or `�` where it would steer instead of being read."""
    if character in "\n\t":
        return character
    steers = unicodedata.category(character) in UNPRINTABLE or character in TURNING
    return "\N{REPLACEMENT CHARACTER}" if steers else character
