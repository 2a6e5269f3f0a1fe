"""`thalweg explain`: what is listed, how it is found, how a docstring becomes Markdown."""

import inspect
import re

import pytest

import thalweg as front_door
from thalweg.cli.catalogue import canonical, codes, markdown, topics
from thalweg.cli.explain import explanation, listing
from thalweg.interventions import INTERVENTIONS
from thalweg.minimize.names import DIRECTIONS, SEARCHES
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
    "method": ["Cost", "When not to use it: "],
    "search": ["Cost", "When not to use it: "],
    "intervention": [],
}


@pytest.mark.parametrize(
    "kind, registered",
    [
        ("obstacle", OBSTACLES),
        ("optimizer", RULES),
        ("method", DIRECTIONS),
        ("search", SEARCHES),
        ("intervention", INTERVENTIONS),
    ],
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


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_method_is_explained_by_the_file_that_its_class_stands_in(name):
    written = inspect.getdoc(inspect.getmodule(type(DIRECTIONS[name]())))
    (topic,) = [topic for topic in topics("method") if topic.name == name]
    assert topic.text.startswith(markdown(written))
    assert re.search(r"^    \S.*|: d = -g", topic.text, re.MULTILINE)  # a formula
    assert re.search(r"\b(18|19|20)\d\d\b|arXiv", topic.text)  # a reference


def test_what_pages_advise_exists():
    advised = {one for topic in topics() for one in re.findall(r"`([a-z0-9+-]+)`", advice(topic))}
    assert advised <= {"largest", *DIRECTIONS, *SEARCHES, *OPTIMIZERS}
    assert "l-bfgs" in advised


def advice(topic):
    return topic.text.partition("When not to use it: ")[2]


@pytest.mark.parametrize(
    "spelling, name",
    [("lbfgs", "l-bfgs"), ("LM", "levenberg-marquardt"), ("cg", "polak-ribiere+")],
)
def test_methods_are_known_by_their_other_names(spelling, name):
    assert explanation(spelling) == explanation(name)
    assert f"# {name} (method)" in explanation(name)


def test_a_name_of_two_things_is_explained_twice():
    assert explanation("hager-zhang").count("# hager-zhang (") == 2


def test_the_front_door_explains():
    assert front_door.explain("unscaled-inputs") == explanation("unscaled-inputs")
    with pytest.raises(ValueError, match="did you mean unscaled-inputs"):
        front_door.explain("unscaled-input")


def test_the_list_has_everything():
    listed = listing()
    assert [name for name in NAMES if f"* **{name}**: " not in listed] == []


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
