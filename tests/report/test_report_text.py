"""The report in a terminal: narrow or wide, without colour, piped, in ASCII, from hostile data."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from thalweg import report

WIDTHS = [40, 80, 120, 400]


def printed(data, width=80, call=report.render_text, encoding="utf-8", **options):
    """What the report prints to a stream that is no terminal, unless `options` say otherwise."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    call(data, Console(file=file, width=width, legacy_windows=False, **options))
    file.seek(0)
    return file.read()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("call", [report.render_text, report.before_and_after])
def test_lines_fit_and_do_not_trail(sample, width, call):
    for line in printed(sample, width, call).splitlines():
        assert cell_len(line) <= min(width, 100)
        assert line == line.rstrip()


def test_a_pipe_gets_no_escape_codes(sample):
    assert "\x1b" not in printed(sample)


@pytest.mark.parametrize(
    "how", [{"force_terminal": True}, {"force_terminal": True, "no_color": True}]
)
def test_a_terminal_gets_the_same_words(sample, how):
    codes = re.compile(r"\x1b\[[\d;]*m")
    assert codes.sub("", printed(sample, **how)) == printed(sample)


def test_no_color_means_none(sample):
    colours = re.compile(r"\x1b\[[\d;]*3[0-7]")
    terminal = {"force_terminal": True, "color_system": "standard"}
    assert colours.search(printed(sample, **terminal))
    assert not colours.search(printed(sample, no_color=True, **terminal))


def test_what_steers_a_terminal_does_not_reach_it(samples):
    text = printed(samples["hostile"])
    assert not set("\x1b\x07\x00\u202e") & set(text)
    assert "[red]" in text.replace("\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-16"])
def test_a_terminal_of_another_encoding_is_served(sample, encoding):
    text = printed(sample, encoding=encoding)
    assert sample["verdict"].upper() in text
    assert all(cell_len(line) <= 80 for line in text.splitlines())


def test_ascii_comes_as_near_as_it_can(samples):
    text = " ".join(printed(samples["obstructed"], encoding="ascii").split())
    assert "Held: gain +0.8517 ~ 0.0082" in text
    assert "loss ####" in text
    assert "2/?_max" in text


def test_the_verdict_comes_first(sample):
    lines = printed(sample).splitlines()
    assert sample["verdict"].upper() in lines[0]
    title = {"healthy": "No obstacle found", "unknown": "Not decided"}
    assert title.get(sample["verdict"], "Learning rate too high") in lines[2]


@pytest.mark.parametrize(
    "words",
    [
        "97 % confident",
        "three times the largest that the curvature",
        "ends at 2.561 0.04076",
        "mean of seeds 0.1077 0.9593",
        "seeds 0, 1, 2 0.108, 0.094, 0.121 0.962, 0.957, 0.959",
        "Held: gain +0.8517 ± 0.0082 over seeds 0, 1, 2. Better on each of three seeds.",
        "What to change Multiply the learning rate by 0.1 (8 to 0.8).",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.8)",
        "stability ratio 3 ± 0.04 1 The learning rate over 2/λ_max;",
        "loss rises 48.7 % 20 %",
        "Explained by it Dead units: 41 % of the hidden units",
        "Or: Weak optimizer",
        "Against chance The remedy is better than the best of 12 random changes. On the same "
        "seeds: 0.91, 0.9, 0.92 with it, 0.962, 0.957, 0.959 remedied.",
        "Unscaled inputs Standardizing the inputs changed nothing.",
        "14 trials in 41 s of 5 min; the script alone takes 5.0 s.",
    ],
)
def test_an_obstructed_report_says(samples, words):
    assert words in " ".join(printed(samples["obstructed"]).split())


def test_a_summary_that_is_the_reason_is_said_once(samples):
    data = samples["obstructed"]
    data["reason"] = data["findings"][0]["summary"]
    assert printed(data).count("three times the largest") == 1


def test_a_long_name_is_folded_and_not_cut(samples):
    data = samples["obstructed"]
    data["findings"][0]["verified"]["measure"] = (
        "accuracy at " + "long_name_of_a_script" * 3 + ".py:55"
    )
    text = printed(data)
    assert "…" not in text
    assert ".py:55" in text


def test_parts_come_in_order(samples):
    text = printed(samples["obstructed"])
    parts = ["OBSTRUCTED", "Proof", "What to change", "Evidence", "Explained by it", "Ruled out"]
    places = [text.index(part) for part in [*parts, "14 trials"]]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("healthy", "loss █"),
        ("healthy", "It ran to its end."),
        ("unknown", "too few to tell a slow start from a"),
        ("unknown", "It stopped at its limit of steps."),
        ("minimal", "0 trials in 0.0 s; interrupted: this is what was known by then."),
        ("non_finite", "ends at not finite 0.04076"),
        ("non_finite", "××××"),
        ("non_finite", "Held: Better on each of three seeds."),
    ],
)
def test_other_reports_say(samples, name, words):
    assert words in " ".join(printed(samples[name]).split())


@pytest.mark.parametrize(
    ("held", "heading", "outcome"),
    [(False, "What did not help", "Did not hold: gain"), (True, "What to change", "Held: gain")],
)
def test_a_remedy_that_did_not_hold_is_not_advised(samples, held, heading, outcome):
    data = samples["obstructed"]
    data["findings"][0]["verified"]["held"] = held
    text = printed(data)
    assert heading in text
    assert outcome in text


def test_before_and_after_is_the_proof_alone(samples):
    text = printed(samples["obstructed"], call=report.before_and_after)
    assert text.split()[:6] == ["as", "it", "is", "with", "the", "change"]
    assert "ends at" in text
    assert "Evidence" not in text


@pytest.mark.parametrize("name", ["healthy", "unknown", "minimal", "bare"])
def test_without_a_change_there_is_nothing_to_compare(samples, name):
    text = printed(samples[name], call=report.before_and_after)
    assert text == "No change was tried to compare.\n"


@pytest.mark.parametrize("call", [report.render_text, report.before_and_after])
def test_what_is_no_report_is_refused(call):
    with pytest.raises(report.ReportError, match="not a Thalweg report"):
        printed({}, call=call)


def test_rendering_does_not_change_the_report(samples):
    data = samples["obstructed"]
    printed(data)
    assert data == samples["obstructed"]


def test_standard_output_is_the_default(samples, capsys):
    report.render_text(samples["minimal"])
    assert "Not decided" in capsys.readouterr().out
