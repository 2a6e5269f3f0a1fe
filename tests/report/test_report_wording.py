"""Numbers, durations and verdicts in words."""

import math

import pytest

from thalweg.report import wording
from thalweg.report.causes import CAUSES, meaning, title


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (1, "1"),
        (3.0, "3"),
        (-3.5, "−3.5"),
        (0.1, "0.1"),
        (0.04076123, "0.04076"),
        (2.66666, "2.667"),
        (0.0001234, "0.0001234"),
        (0.00001234, "1.23e−5"),
        (-1e-8, "−1e−8"),
        (999.96, "1000"),
        (1234.5, "1,234"),
        (3100, "3,100"),
        (9_999_999, "9,999,999"),
        (12_345_678, "1.23e7"),
        (1e300, "1e300"),
        (None, "not finite"),
        (True, "yes"),
        (False, "no"),
        ("text", "text"),
        ([1, 2.5, "a", None], "1, 2.5, a, not finite"),
        (list(range(12)), "0, 1, 2, 3, 4, 5, 6, 7, and 4 more"),
        ([], ""),
    ],
)
def test_numbers(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize("exponent", range(-12, 13))
@pytest.mark.parametrize("mantissa", [1.0, 1.23456789, 9.99999, -4.5])
def test_a_number_keeps_its_value(mantissa, exponent):
    """Three digits of a large or small number, four of any other."""
    value = mantissa * 10.0**exponent
    text = wording.number(value).replace("−", "-").replace(",", "")
    assert math.isclose(float(text), value, rel_tol=5.1e-3)
    assert len(text) <= 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (300, "5 min"),
        (3599.8, "1 h"),
        (3780, "1 h 3 min"),
        (None, "an unknown time"),
    ],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.97, "97 %"), (0, "0 %"), (1, "100 %"), (-0.2, "−20 %"), (None, "not finite")],
)
def test_percentages(share, text):
    assert wording.percent(share) == text


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        ({"value": 3.0, "unit": "", "limit": 1, "error": 0.04}, "3 ± 0.04"),
        ({"value": 48.7, "unit": "%", "error": None}, "48.7 %"),
        ({"value": "relu"}, "relu"),
        ({"value": None, "unit": "s"}, "not finite s"),
    ],
)
def test_quantities(measurement, text):
    assert wording.quantity(measurement) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.03839, "0.038"), (0.0082, "0.0082"), (123.4, "120"), (0, "0"), (1.23e-9, "1.2e−9")],
)
def test_an_error_has_two_digits(error, text):
    assert wording.quantity({"value": 1, "error": error}) == f"1 ± {text}"


def test_a_limit_has_the_unit_and_no_error():
    assert wording.quantity({"value": 3, "unit": "s", "limit": 1, "error": 2}, "limit") == "1 s"


@pytest.mark.parametrize(
    ("verdict", "causes", "text"),
    [
        ("healthy", [], "No obstacle found"),
        ("unknown", [], "Not decided"),
        ("unknown", ["plateau"], "Not decided"),
        ("obstructed", [], "Obstructed"),
        ("obstructed", ["dead-units", "plateau"], "Dead units"),
        ("obstructed", ["a-later-cause"], "A later cause"),
    ],
)
def test_headlines(verdict, causes, text):
    data = {"verdict": verdict, "findings": [{"cause": cause} for cause in causes]}
    assert wording.headline(data) == text


@pytest.mark.parametrize(
    ("verified", "text"),
    [
        (None, "What to try (not verified)"),
        ({"held": True}, "What to change"),
        ({"held": False}, "What did not help"),
    ],
)
def test_a_remedy_is_a_thing_to_do_only_if_it_held(verified, text):
    assert wording.remedy_heading({"verified": verified}) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, λ ≥ 2\n\tand é 漢 🙂", "plain text, λ ≥ 2\n\tand é 漢 🙂"),
        ("\x1b[2Jgone", "�[2Jgone"),
        ("bell\x07 nul\x00 c1\x9b", "bell� nul� c1�"),
        ("\u202etxt.exe", "�txt.exe"),
        ("lone \udcff", "lone �"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(text, expected):
    assert wording.printable(text) == expected
    assert wording.printable({text: [text, 1, None]}) == {expected: [expected, 1, None]}


@pytest.mark.parametrize("code", CAUSES)
def test_causes_have_a_title_and_a_sentence(code):
    assert title(code)[0].isupper()
    assert not title(code).endswith(".")
    assert meaning(code).endswith(".")


def test_a_later_cause_is_shown_by_its_own_words():
    assert title("a-later-cause") == "A later cause"
    assert meaning("a-later-cause") == ""
