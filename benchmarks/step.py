"""What a step costs: every rule and form on four models, beside PyTorch and other libraries.

    python benchmarks/step.py                                all of it; the large models take long
    python benchmarks/step.py --rules adam,sgd --models mlp
    python benchmarks/step.py --quick                        the small models, nothing compiled

The contestants take turns in one process, and each entry is the median over turns of a ratio within
a turn. On a large model it is a step's time over the time in which the bytes that it must move (p,
its gradient and the state in; p and the state out) pass through the processor at the speed of a
pass over memory in place; "copy" is how much longer the same bytes take as a copy. On a small model
it is a step's time over that of PyTorch's loop, which is PyTorch's default on a CPU, or of our form
`each` where PyTorch lacks the rule. On a GPU times are CUDA events', and steps that can be captured
are measured as CUDA graphs too. Other libraries take part if they are installed
(`benchmarks/requirements-peers.txt`).
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from stepping import aims, clocks, cold, machine, tables
from stepping.architectures import ARCHITECTURES
from stepping.captured import captured
from stepping.contestants import MATRICES_ONLY, OPTIONS, Model, ours, torchs
from stepping.peers import LIBRARIES, peers
from stepping.race import race

from thalweg import optim

QUICK = {"models": "mlp,many", "forms": "auto,each,together,blocks", "seconds": 0.2, "first": False}
FULL = {"models": ",".join(ARCHITECTURES), "forms": ",".join(optim.FORMS), "seconds": 2.0}


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", help="names out of thalweg.optim.OPTIMIZERS; all by default")
    parser.add_argument("--models", help=f"out of {', '.join(ARCHITECTURES)}")
    parser.add_argument("--forms", help=f"out of {', '.join(optim.FORMS)}")
    parser.add_argument("--peers", default=",".join(LIBRARIES), help="if they are installed")
    parser.add_argument("--seconds", type=float, help="of turns for one line of a table")
    parser.add_argument(
        "--busy", action="store_true", help="others use the machine: one thread, processor time"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="small models, nothing compiled")
    parser.add_argument("--first", action="store_true", help="first steps in new processes too")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the tables there")
    chosen = parser.parse_args(given)
    for key, value in {**FULL, **(QUICK if chosen.quick else {})}.items():
        if getattr(chosen, key) in (None, False):
            setattr(chosen, key, value)
    chosen.rules = _names(parser, chosen.rules or ",".join(optim.OPTIMIZERS), optim.OPTIMIZERS)
    chosen.models = _names(parser, chosen.models, ARCHITECTURES)
    chosen.forms = _names(parser, chosen.forms, optim.FORMS)
    chosen.peers = _names(parser, chosen.peers, LIBRARIES)
    return chosen


def _names(parser, words, known):
    names = [word for word in words.split(",") if word]
    for name in names:
        if name not in known:
            parser.error(f"{name!r}: choose among {', '.join(known)}.")
    return names


def contestants(name, chosen):
    """Everyone who runs this rule; the reference first."""
    graphs = []
    if chosen.device == "cuda":
        pairs = (("torch graph", getattr(torch.optim, optim.OPTIMIZERS[name].__name__, None)),)
        pairs += (("graph", optim.OPTIMIZERS[name]),)
        options = OPTIONS.get(name, {})
        graphs = [captured(title, kind, options) for title, kind in pairs if kind]
    rivals = peers(name, chosen.peers, chosen.device)
    return [*torchs(name), *ours(name, chosen.forms), *filter(None, graphs), *rivals]


def measure(chosen):
    """One result after the other."""
    for model_name in chosen.models:
        whole = ARCHITECTURES[model_name]
        model = Model.of(whole, chosen.device)
        for name in chosen.rules:
            print(f"{name} on {whole.title} ...", file=sys.stderr, flush=True)
            pointwise = "pointwise" in optim.OPTIMIZERS[name].rule.facts
            part = whole.matrices() if name in MATRICES_ONLY else whole
            if not part.shapes:
                continue
            on = model if part is whole else Model.of(part, chosen.device)
            result = race((name, pointwise), part, on, contestants(name, chosen), chosen.seconds)
            if chosen.first and result.has("compiled") and model_name == "resnet50":
                result.first |= cold.cold_and_warm(name, model_name)
            yield result


LEGEND = """Each entry is a median over turns of a ratio within a turn. On a large model it is a
step's time over the floor: the bytes that the step must move (`moved B` for each parameter) at the
speed of a pass over memory in place, of which `state B` are the state's; `copy` is how much longer
a copy takes for as many bytes. On a small model it is the time over that of PyTorch's loop, its
default on a CPU, or of our form `each` where PyTorch lacks the rule. `auto` is what runs at the
beginning; a long run goes over to `compiled` by itself."""


def page(results, chosen):
    """All tables as one Markdown text."""
    clock = "Processor time of one thread, as others used the machine." if chosen.busy else ""
    words = f"{machine.in_words(chosen.device)}\n{clock}".rstrip()
    sections = ["# What a step costs", words, LEGEND]
    for architecture in ARCHITECTURES.values():
        seen = [r for r in results if r.model == architecture.name]
        if seen:
            sections += _sections(seen, architecture)
    reached = aims.report(results) if chosen.device == "cpu" else ""
    return "\n\n".join(sections + [f"## Aims\n\n{reached}"] * bool(reached)) + "\n"


def _sections(seen, architecture):
    over = "the floor" if architecture.large else "the reference"
    count = f"{len(architecture.shapes)} tensors, {architecture.elements:,} parameters"
    yield f"## {architecture.title}\n\n{count}. Times over {over}."
    yield tables.step_table(seen, architecture)
    if architecture.large:
        yield "Memory that a step takes beyond parameters, gradients and state:"
        yield tables.memory_table(seen)
    yield "The first two steps:"
    yield tables.first_step_table(seen)
    if missing := tables.notes(seen):
        yield f"Not there:\n\n{missing}"


def write(results, chosen):
    if chosen.json:
        chosen.json.write_text(json.dumps([r.as_data() for r in results], indent=1))
    if chosen.save:
        chosen.save.mkdir(parents=True, exist_ok=True)
        (chosen.save / f"step-{chosen.device}.md").write_text(page(results, chosen))


def main():
    chosen = arguments()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # first steps find nothing there
    os.environ["KINETO_LOG_LEVEL"] = "99"  # or the memory counter tells of itself
    torch.manual_seed(0)
    if chosen.busy:
        torch.set_num_threads(1)
        clocks.count_own_time()
    if chosen.device == "cpu":
        machine.limit_memory()
    machine.in_words(chosen.device)  # now, while the load is that of others
    results = []
    for result in measure(chosen):
        results.append(result)
        write(results, chosen)  # each time: a run of hours may be cut short
    print(page(results, chosen))


if __name__ == "__main__":
    main()
