"""`thalweg explain`: what is listed, how it is found, how a docstring becomes Markdown."""

import pytest

import thalweg as front_door
from thalweg.cli.catalogue import canonical, codes, markdown, topics
from thalweg.cli.explain import explanation, listing
from thalweg.interventions import INTERVENTIONS
from thalweg.obstacles.registry import OBSTACLES
from thalweg.optim import OPTIMIZERS, RULES

NAMES = [topic.name for topic in topics()]
HEADINGS = {
    "obstacle": [
        "## What it is",
        "## How it is measured",
        "## When not to trust it",
        "## How it is proved",
        "## References",
    ],
    "optimizer": ["Idea:", "Formula:", "Why:", "Reference:"],
    "intervention": [],
}


@pytest.mark.parametrize(
    "kind, registered",
    [("obstacle", OBSTACLES), ("optimizer", RULES), ("intervention", INTERVENTIONS)],
)
def test_what_is_registered_can_be_explained(kind, registered):
    assert [topic.name for topic in topics(kind)] == sorted(map(canonical, registered))


def test_codes_are_those_that_the_doctor_knows():
    assert codes() == sorted(OBSTACLES)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_that_run_takes_can_be_explained(name):
    assert f"# {name} (optimizer)" in explanation(name)


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: f"{topic.kind}-{topic.name}")
def test_every_explanation_has_its_parts_in_order(topic):
    places = [topic.text.find(heading) for heading in HEADINGS[topic.kind]]
    assert -1 not in places
    assert places == sorted(places)
    assert topic.summary.endswith(".")


@pytest.mark.parametrize("spelling", ["Unscaled-Inputs", "unscaled_inputs", " unscaled inputs "])
def test_spelling_is_forgiven(spelling):
    assert explanation(spelling) == explanation("unscaled-inputs")


def test_the_front_door_explains():
    assert front_door.explain("unscaled-inputs") == explanation("unscaled-inputs")
    with pytest.raises(ValueError, match="did you mean unscaled-inputs"):
        front_door.explain("unscaled-input")


def test_the_list_has_everything():
    assert all(f"* **{name}**: " in listing() for name in NAMES)


@pytest.mark.parametrize("words", [[], ["unscaled-inputs"]], ids=str)
def test_it_is_printed(words, thalweg):
    done = thalweg("explain", *words)
    assert done.returncode == 0
    assert "unscaled-inputs" in done.stdout


def test_an_indented_block_below_a_line_is_its_section():
    text = "A thing.\n\nWhat it is\n    One line,\n    and more.\n\n    A part.\n\nWhy\n    Reason."
    assert markdown(text) == (
        "A thing.\n\n## What it is\n\nOne line,\nand more.\n\nA part.\n\n## Why\n\nReason."
    )


@pytest.mark.parametrize(
    "text",
    [
        "A thing.\n\nFormula:\n\n    p <- p - lr g\n\nwith g.",
        "A thing.\n\n* one\n    more of it\n* two",
        "A sentence ends.\n    code",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert markdown(text) == text
