"""The ablation: what the evidence of one run would name, without any trial."""

from section import Section

from diagnosing.scores import causes, named

# Suspicions below it say that nothing but a trial could name them.
LOUD = 0.6


def by_evidence(row):
    """The causes that evidence alone names, strongest first."""
    found = (row["report"] or {}).get("suspicions", [])
    return [one["cause"] for one in found if one["strength"] >= LOUD]


def ablation(title, rows):
    """Evidence alone beside evidence with trials, on the same runs."""
    faulty = [row for row in rows if not row["healthy"]]
    healthy = [row for row in rows if row["healthy"]]
    words = (
        "The strongest suspicion of the run as it is, where there is one of strength "
        f"{LOUD} or more, beside the cause that the trials prove."
    )
    section = Section(title, words, ["", "evidence alone", "with trials"])
    alone = [bool(set(by_evidence(row)[:1]) & set(row["accept"])) for row in faulty]
    three = [bool(set(by_evidence(row)[:3]) & set(row["accept"])) for row in faulty]
    section.rows = [
        ["named first", _of(alone), _of([named(row, 1) for row in faulty])],
        ["named among the first three", _of(three), _of([named(row, 3) for row in faulty])],
        ["healthy scripts accused", _of([bool(by_evidence(row)) for row in healthy]),
         _of([bool(causes(row)) for row in healthy])],
    ]  # fmt: skip
    return section


def _of(flags):
    return f"{sum(flags)} of {len(flags)}"
