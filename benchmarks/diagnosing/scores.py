"""How often the cause is named, the script repaired, and a healthy one accused; and the cost."""

import statistics

from section import Aim, Section


def causes(row):
    """What a diagnosis names, most important first; nothing unless it says obstructed."""
    report = row["report"]
    if not report or report["verdict"] != "obstructed":
        return []
    return [one["cause"] for one in report["findings"]]


def named(row, first):
    """Whether an accepted cause is among the first so many."""
    return bool(set(causes(row)[:first]) & set(row["accept"]))


def cost(row):
    """Seconds of the diagnosis over those of a plain run."""
    return row["seconds"] / row["plain_seconds"]


def score(title, rows):
    """The section of one set of cases."""
    faulty = [row for row in rows if not row["healthy"]]
    healthy = [row for row in rows if row["healthy"]]
    accused = [row["name"] for row in healthy if causes(row)]
    failed = [row["name"] for row in rows if row["report"] is None]
    shares = [
        ("named first", sum(named(row, 1) for row in faulty), 0.80),
        ("named among the first three", sum(named(row, 3) for row in faulty), 0.92),
        ("repaired", sum(row["repaired"] for row in faulty), 0.70),
    ]
    words = f"{len(faulty)} faulty scripts, {len(healthy)} healthy ones."
    section = Section(title, words, ["", "of the faulty", "share"])
    section.rows = [[name, f"{n} of {len(faulty)}", _share(n, faulty)] for name, n, _ in shares]
    median = statistics.median(map(cost, rows))
    section.aims = [
        *(Aim(f"{name}, share missed", 1 - n / len(faulty), 1 - bar, 2) for name, n, bar in shares),
        Aim("healthy scripts accused", len(accused), 1, shown=_named(accused)),
        Aim("diagnoses that fail", len(failed), 0, shown=_named(failed)),
        Aim("median cost of a diagnosis in plain runs", median, 12),
    ]
    section.notes = [_missed(row) for row in faulty if not named(row, 1)]
    return section


def _share(count, among):
    return f"{count / len(among):.0%}" if among else "–"


def _named(names):
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def _missed(row):
    said = ", ".join(causes(row)[:3]) or (row["report"] or {"verdict": "no diagnosis"})["verdict"]
    cure = "repaired" if row["repaired"] else "not repaired"
    return f"{row['name']} ({', '.join(row['accept'])}): {said}; {cure}"
