"""Diagnoses of scripts with a known fault, and of healthy ones.

    python benchmarks/diagnosis.py                                both halves of the clinic
    python benchmarks/diagnosis.py --cases development=clinic/development --only NAME,NAME
    python benchmarks/diagnosis.py --repairs                      beside random search and recipes

Each script is diagnosed by the command as a user would, and its remedy run. What became of a case
is kept in the folder of `--keep` as soon as it is known, and not done again.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from diagnosing.calibration import calibration
from diagnosing.cases import cases
from diagnosing.diagnosed import diagnosed
from diagnosing.evidence import ablation
from diagnosing.scores import score
from stepping import machine

ROOT = Path(__file__).parent
HALVES = [f"{half}={ROOT.parent / 'clinic' / half}" for half in ("development", "held_out")]


def main(given=None):
    chosen = arguments(given)
    sections, everything = [], []
    for name, folder in (half.split("=", 1) for half in chosen.cases):
        title = name.replace("_", " ").capitalize()
        found = [(case, kept(case, name, chosen.keep)) for case in wanted(folder, chosen.only)]
        rows = [row for _, row in found]
        everything += rows
        sections += [score(title, rows), ablation(f"{title}: without trials", rows),
                     calibration(f"{title}: calibration", rows)]  # fmt: skip
        if chosen.repairs:
            sections.append(compared(f"{title}: other repairs", found, name, chosen.keep))
    text = page(sections)
    print(text)
    if chosen.save:
        chosen.save.mkdir(parents=True, exist_ok=True)
        (chosen.save / "diagnosis-cpu.md").write_text(text)


def arguments(given):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=HALVES, metavar="NAME=FOLDER")
    parser.add_argument("--only", default="", help="names of cases, separated by commas")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of what is known of each case")
    parser.add_argument("--repairs", action="store_true", help="other ways to repair, too")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the page there")
    return parser.parse_args(given)


def wanted(folder, only):
    names = {name for name in only.split(",") if name}
    return [case for case in cases(folder) if not names or case.name in names]


def kept(case, half, folder):
    """What became of a case: read where it is known already, else found out and kept."""
    return once(folder and folder / half / f"{case.name}.json", lambda: told(diagnosed(case)))


def told(row):
    """The row, after a line on standard error."""
    verdict = row["report"]["verdict"] if row["report"] else row["error"]
    print(f"{row['name']}: {verdict}", file=sys.stderr, flush=True)
    return row


def compared(title, found, half, folder):
    """The section on other ways to repair the faulty scripts."""
    from diagnosing.repairs import repairs, tried

    here = [str(ROOT), os.environ.get("PYTHONPATH", "")]  # for the instruments of trials
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, here))
    rows = []
    for case, row in found:
        if not case.healthy:
            path = folder and folder / half / f"{case.name}.repairs.json"
            rows.append((case, row, once(path, lambda case=case, row=row: tried(case, row))))
    return repairs(title, rows)


def once(path, find):
    """What a file holds, else what is found and then kept there."""
    if path and path.exists():
        return json.loads(path.read_text())
    found = find()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return found


def page(sections):
    """All sections as one Markdown text."""
    words = f"{machine.in_words('cpu')}, Python {platform.python_version()}."
    aims = [aim.met for section in sections for aim in section.aims]
    parts = ["# Diagnoses", words, f"{sum(aims)} of {len(aims)} aims met."]
    return "\n\n".join([*parts, *(section.markdown() for section in sections)]) + "\n"


if __name__ == "__main__":
    main()
