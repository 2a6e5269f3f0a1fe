"""Contestants taking turns on one model."""

import gc
import random
import time
import traceback

from stepping import clocks, machine
from stepping.contestants import state_and_moved
from stepping.results import Result

TURNS = 5  # at least, as long as they do not take more than
PATIENCE = 60.0  # seconds
FIRST_STEPS = 120.0  # seconds in which the first steps must end; some compile for minutes
LAP = 2e-3  # seconds; steps shorter than this are made several times in a turn


def race(rule, architecture, model, contestants, seconds):
    """Everything about one rule on one model.

    Args:
        rule: its name and whether it is pointwise.
        architecture: where the model comes from.
        model: its parameters and gradients.
        contestants: the reference first.
        seconds: for which turns are taken.
    """
    model.renew()
    name, pointwise = rule
    result = Result(name, architecture.name, pointwise, model.bytes)
    yardsticks = machine.passes(architecture.elements, model.device) if architecture.large else {}
    result.pass_bytes = yardsticks["in place"].bytes if yardsticks else 0
    for steppers in _rounds(contestants, model, result):
        try:
            result.turns += _turns({**yardsticks, **steppers}, model.device, seconds)
        except Exception as error:  # an hour of other results must not be lost by it
            result.notes[", ".join(steppers)] = _in_a_line(error)
        if architecture.large:
            for title, stepper in steppers.items():
                result.extra[title] = _extra_bytes(stepper, model.device)
        steppers.clear()
        gc.collect()
    return result


def _rounds(contestants, model, result):
    """Steppers by title, as many at once as the memory holds; the reference is in every round."""
    waiting = list(contestants)
    reference = None
    while waiting:
        steppers = {}
        if reference:
            _enter(reference, model, result, steppers)
        while waiting and (len(steppers) < 2 or _roomy(model)):
            _enter(waiting.pop(0), model, result, steppers)
            if reference is None and steppers:
                reference = contestants[len(contestants) - len(waiting) - 1]
        if steppers:
            yield steppers


def _roomy(model):
    return machine.available_bytes(model.device) > 6 * model.bytes + 2**30


def _enter(contestant, model, result, steppers):
    """Build it and take its first steps; where it cannot, note why."""
    try:
        with clocks.within(FIRST_STEPS):
            stepper = contestant.start(model)
            first = first_steps(stepper, model.device)
        with clocks.within(PATIENCE):
            _lap(stepper, model.device, 1)
    except Exception as error:
        result.notes[contestant.title] = _in_a_line(error)
        traceback.clear_frames(error.__traceback__)  # they hold what it had built
        return
    result.first.setdefault(contestant.title, first)
    steppers[contestant.title] = stepper
    if not result.moved_bytes and hasattr(getattr(stepper, "optimizer", None), "rule"):
        result.state_bytes, result.moved_bytes = state_and_moved(stepper.optimizer)


def first_steps(stepper, device):
    """Seconds by the clock until two steps are made.

    Two, because a momentum begins at the first, and what keeps it is compiled at the second.
    """
    start = time.perf_counter()
    _lap(stepper, device, 2)
    return time.perf_counter() - start


def _in_a_line(error):
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0][:160] if words else ''}"


def _turns(steppers, device, seconds):
    calls = {name: _calls(stepper, device) for name, stepper in steppers.items()}
    names, shuffle = list(steppers), random.Random(0).shuffle
    turns, start = [], time.perf_counter()
    with clocks.quiet_collector():
        while _goes_on(len(turns), time.perf_counter() - start, seconds):
            shuffle(names)
            turns.append({name: _lap(steppers[name], device, calls[name]) for name in names})
    return turns


def _goes_on(turns, elapsed, seconds):
    return not turns or elapsed < seconds or (turns < TURNS and elapsed < PATIENCE)


def _calls(stepper, device):
    if _lap(stepper, device, 1) > LAP:
        return 1
    # The least of some, as one of the first steps may take a new way (RAdam's sixth) or compile.
    step = min(_lap(stepper, device, 3) for _ in range(3))
    return max(1, min(50, int(LAP / step)))


def _lap(stepper, device, calls):
    """A step's mean time over some steps on end."""
    total = 0.0
    for _ in range(calls):
        stepper.ready()
        total += clocks.seconds(stepper.step, device)
    return total / calls


def _extra_bytes(stepper, device):
    if hasattr(stepper, "extra_bytes"):
        return stepper.extra_bytes()
    stepper.ready()
    return clocks.extra_bytes(stepper.step, device)
