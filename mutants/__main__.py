"""Plant every mutant and say which test has seen it: `python -m mutants [-j N] [WORD ...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mutants.families import FAMILIES
from mutants.mutant import Mutant, faults
from mutants.nursery import FAULTS, PASSED, Job, Nest, Outcome, done

ROOT = Path(__file__).resolve().parents[1]

Families = dict[str, list[Mutant]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 if every mutant has been seen."""
    parser = argparse.ArgumentParser("mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="of a family's or a file's name")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="at a time (2)")
    given = parser.parse_args(arguments)
    families = chosen(given.words)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        nests = nested(Path(folder), given.jobs)
        if bad := refused(families, nests[0].folder):
            print(*bad, sep="\n")
            return 1
        unseen = tried(families, nests)
    print_sums(families, unseen)
    return int(bool(unseen))


def chosen(words: Sequence[str]) -> Families:
    """The families, or what in them has one of the words in its family's or its file's name."""
    named = lambda name, m: not words or any(word in f"{name} {m.file}" for word in words)
    found = {name: [m for m in ms if named(name, m)] for name, ms in FAMILIES.items()}
    return {name: ms for name, ms in found.items() if ms}


def nested(folder: Path, count: int) -> list[Nest]:
    """As many equal copies of the source, whatever happens to the source meanwhile."""
    nests: list[Nest] = []
    for index in range(count):
        place = folder / str(index)
        place.mkdir()
        nests.append(Nest(nests[0].folder if nests else ROOT, place))
    return nests


def refused(families: Families, root: Path) -> list[str]:
    """The mutants that cannot be planted, with the reason."""
    every = [m for ms in families.values() for m in ms]
    return [f"{m.file} ({m.what}): {fault}" for m in every for fault in faults(m, root)]


def tried(families: Families, nests: Sequence[Nest]) -> list[Mutant]:
    """Try every mutant and print a line for each; those that no test has seen."""
    names = {m: name for name, ms in families.items() for m in ms}
    killers: dict[Mutant, str] = {}
    for one in done((Job(m.tests, m) for m in names), nests):
        mutant = one.job.mutant
        if mutant is None:
            continue
        print(f"{names[mutant]:<14} {mutant.file}: {mutant.what}")
        print(f"    {verdict(one)} ({one.seconds:.0f} s)", flush=True)
        if one.killed:
            killers[mutant] = one.failed[0] if one.failed else ""
    false = failing_anyway({test for test in killers.values() if test}, nests)
    print(*(f"FAILS WITHOUT A MUTANT TOO: {test}" for test in false), sep="\n")
    return [m for m in names if m not in killers or killers[m] in false]


def failing_anyway(tests: set[str], nests: Sequence[Nest]) -> set[str]:
    """The tests that fail without any mutant, and so have seen none."""
    parts = [tuple(sorted(tests)[at :: len(nests)]) for at in range(len(nests))]
    outcomes = list(done((Job(part) for part in parts if part), nests))
    broken = {test for one in outcomes if one.code < PASSED for test in one.job.tests}
    return broken.union(*(one.failed for one in outcomes))


def verdict(one: Outcome) -> str:
    """What has become of a mutant."""
    if one.code == PASSED:
        return "SURVIVED"
    if not one.killed:
        return f"BROKEN: its tests did not run (pytest: {one.code})"
    fault = "a fault of the memory" if one.code in FAULTS else "never coming to an end"
    return f"killed by {one.failed[0] if one.failed else fault}"


def print_sums(families: Families, unseen: Sequence[Mutant]) -> None:
    """A line for each family, and one for each mutant that has not been seen."""
    alive = Counter(name for name, ms in families.items() for m in ms if m in unseen)
    for name, mutants in families.items():
        print(f"{name:<14} {len(mutants) - alive[name]:>3} of {len(mutants):>3} killed")
    total = sum(map(len, families.values()))
    print(f"{'all':<14} {total - len(unseen):>3} of {total:>3} killed")
    print(*(f"NOT SEEN: {m.file}: {m.what}" for m in unseen), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
