"""What must be refused when the optimizer is built, before a run has cost anything."""

from __future__ import annotations

import warnings
from typing import Any

from thalweg.testing.contract import Broken, law
from thalweg.testing.demands import brief, demand, needs, raised_on_purpose
from thalweg.testing.laws.groups import rate
from thalweg.testing.subject import Subject


def must_refuse(
    subject: Subject, params: Any, what: str, *, or_warn_of: str = "", **settings: Any
) -> None:
    """Building with these must raise an error, or warn of it in a sentence with that word."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            subject.build(params, **settings)
        except (ValueError, TypeError):
            return
        except Exception as error:  # an error of the optimizer's own, or an accident
            demand(raised_on_purpose(error), f"{what} is not refused, but raises {brief(error)}")
            return
    said = " ".join(str(warning.message) for warning in caught)
    if not or_warn_of or or_warn_of not in said:
        raise Broken(f"{what} was accepted")


@law
def negative_rate(subject: Subject) -> None:
    """A negative learning rate is refused.

    It climbs; who wants that says `maximize`.
    """
    rate(subject)
    must_refuse(subject, subject.parameters(), "lr=-0.1", lr=-0.1)


@law
def negative_weight_decay(subject: Subject) -> None:
    """A negative weight decay is refused.

    It makes weights grow without bound.
    """
    needs(subject, "weight_decay")
    must_refuse(subject, subject.parameters(), "weight_decay=-0.1", weight_decay=-0.1)


@law
def unknown_argument(subject: Subject) -> None:
    """An argument that does not exist is refused.

    A misspelled hyperparameter that is swallowed leaves a run with the default.
    """
    must_refuse(subject, subject.parameters(), "weigth_decoy=0.1", weigth_decoy=0.1)


@law
def no_parameters(subject: Subject) -> None:
    """An empty list of parameters is refused.

    A generator that was used up, or a model that registered no layers, would not train.
    """
    must_refuse(subject, [], "an empty list of parameters")


@law
def bare_parameter(subject: Subject) -> None:
    """A parameter given without a list is refused.

    Iterated over, it would be taken for its rows, which are copies.
    """
    must_refuse(subject, subject.parameters()[0], "a bare parameter")


@law
def duplicate_parameter(subject: Subject) -> None:
    """A parameter given twice is refused, or warned of.

    It would be stepped twice, by tied weights unnoticed.
    """
    p = subject.parameters()[0]
    must_refuse(subject, [p, p], "a parameter twice in one group", or_warn_of="duplicate")
    q = subject.parameters()[0]
    must_refuse(subject, [{"params": [q]}, {"params": [q]}], "a parameter in two groups")


@law
def parameter_that_is_no_leaf(subject: Subject) -> None:
    """A tensor that was computed is refused.

    It receives no gradient, and stepping it trains nothing.
    """
    must_refuse(subject, [2 * p for p in subject.parameters()], "a tensor that is no leaf")
