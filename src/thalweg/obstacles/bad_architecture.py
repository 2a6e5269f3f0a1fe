"""The network cannot carry the signal that the task needs.

What it is
    Everything that the layers after a bottleneck know has gone through its few units. Two layers
    without an activation between them are one linear layer. An activation of an activation throws
    away what the first one kept.

How it is measured
    The order of the calls of a step. A bottleneck is a hidden layer with fewer units than the
    network has outputs less one, and at most a quarter of those of the layers around it; where the
    targets are the inputs (an autoencoder) it is meant. Layers follow each other linearly when
    nothing but sums, means, dropout and normalization stands between them, and the first is no
    narrower than both its neighbours (a low-rank factor is meant, too). An activation is doubled if
    it is given what another one gave.

When not to trust it
    A code of two units may be what somebody wants to look at; deep linear networks are studied for
    their own sake. Only the trial shows that the task needs more.

How it is proved
    The narrow layer widened, an activation put between the layers, or the second activation taken
    out removes the harm.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.4: architecture design.
"""

from __future__ import annotations

from typing import Any

from thalweg.interventions import ActivationSwap, InsertedActivation, WiderLayers
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Proof, Suspicion, shown

CODE = "bad-architecture"
NARROW = 4.0  # times narrower than both neighbours
COPY = 0.9  # correlation of targets and inputs from which an autoencoder is meant

Flaw = tuple[str, dict[str, Any], list[Proof], float]


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a bottleneck, layers without an activation between, or one that is doubled."""
    if not seen.samples or seen.adversarial:
        return None
    found = [one for one in (_bottleneck(seen), _linear(seen), _doubled(seen)) if one is not None]
    if not found:
        return None
    evidence = {name: piece for _, pieces, _, _ in found for name, piece in pieces.items()}
    return Suspicion(
        CODE,
        max(strength for *_, strength in found),
        " ".join(says for says, *_ in found),
        evidence,
        [proof for _, _, proofs, _ in found for proof in proofs],
    )


def _bottleneck(seen: Evidence) -> Flaw | None:
    rows = seen.layers()
    if (seen.first.get("reconstruction") or 0.0) > COPY:
        return None
    narrow = [at for at in range(len(rows) - 1) if _is_narrow(rows, at)]
    if not narrow:
        return None
    at = min(narrow, key=lambda i: rows[i]["units"])
    units, around = rows[at]["units"], min(rows[at]["inputs"], rows[at + 1]["units"])
    return (
        f"Everything passes through {units} unit(s) of layer {at + 1}.",
        {"bottleneck": shown(units, f"units of layer {at + 1}, among layers of {around} and more",
                             "units", around / NARROW)},
        [(WiderLayers([at], len(rows), units=around),)],
        0.85,
    )  # fmt: skip


def _is_narrow(rows: list[Row], at: int) -> bool:
    """Narrower than what comes in, what comes next, and what goes out at the end."""
    units, before = rows[at].get("units"), rows[at].get("inputs")
    after, out = rows[at + 1].get("units"), rows[-1].get("units")
    if not (units and before and after and out) or rows[at]["kind"].startswith("conv"):
        return False
    beside = min(before, after if at + 1 < len(rows) - 1 else before)
    return bool(NARROW * units <= beside and units < out - 1)


def _linear(seen: Evidence) -> Flaw | None:
    rows = seen.layers()
    pairs = [(one["follows"], at) for at, one in enumerate(rows) if one.get("follows") is not None]
    meant = (seen.first.get("reconstruction") or 0.0) > COPY
    found = [a for a, b in pairs if not meant and not _is_factor(rows, a, b)]
    if not found:
        return None
    alone = not any(one["hidden"] for one in seen.first.get("activations", []))
    places = ", ".join(str(at + 1) for at in found)
    return (
        f"No activation comes after layer {places}: with the next it is one linear layer.",
        {"linear": shown(len(found), "layers that are followed by another without an activation",
                         "layers", 0)},
        [(InsertedActivation(to, found, len(rows)),) for to in ("relu", "tanh")],
        0.8 if alone else 0.6,
    )  # fmt: skip


def _is_factor(rows: list[Row], first: int, second: int) -> bool:
    """Whether the first layer narrows and the second widens again, as factors of low rank do."""
    units, into, out = (
        rows[first].get("units"), rows[first].get("inputs"), rows[second].get("units"),
    )  # fmt: skip
    return not (units and into and out) or units < min(into, out)


def _doubled(seen: Evidence) -> Flaw | None:
    rows = seen.first.get("activations", [])
    found = [
        at
        for at, one in enumerate(rows)
        if one["hidden"] and one.get("follows") is not None and one["kind"] != _kind(rows, one)
    ]
    if not found:
        return None
    kinds = ", ".join(f"{rows[at]['kind']} of {_kind(rows, rows[at])}" for at in found)
    return (
        f"An activation is given what another one gave: {kinds}.",
        {"doubled": shown(len(found), "activations of activations", "", 0)},
        [(ActivationSwap("identity", found, len(rows)),)],
        0.6,
    )


def _kind(rows: list[Row], one: Row) -> str:
    return str(rows[one["follows"]]["kind"])
