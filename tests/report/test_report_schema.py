"""Reading a report: what fits the schema, what does not, and what the reader is told."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from thalweg import report
from thalweg.report.checking import complaints
from thalweg.report.json import plain
from thalweg.report.schema import schema

Path_ = tuple[str | int, ...]
DELETE = ...  # stands for no value at all

# Where a report is damaged, and what is put there; DELETE takes it out.
DAMAGE: list[tuple[Path_, Any]] = [
    ((), []),
    ((), "healthy"),
    (("schema",), "1"),
    (("schema",), True),
    (("schema",), 0),
    (("schema",), 1.0),
    (("verdict",), "ill"),
    (("verdict",), None),
    (("verdict",), DELETE),
    (("reason",), DELETE),
    (("reason",), None),
    (("findings",), {}),
    (("findings",), None),
    (("findings", 0), "learning-rate-too-high"),
    (("findings", 0, "cause"), "Learning Rate"),
    (("findings", 0, "cause"), ""),
    (("findings", 0, "cause"), "a-new-cause-2"),
    (("findings", 0, "confidence"), 1.01),
    (("findings", 0, "confidence"), -0.01),
    (("findings", 0, "confidence"), True),
    (("findings", 0, "confidence"), None),
    (("findings", 0, "confidence"), 1),
    (("findings", 0, "symptoms"), DELETE),
    (("findings", 0, "symptoms", 0, "evidence"), []),
    (("findings", 0, "evidence", "sharpness"), 0.7),
    (("findings", 0, "evidence", "sharpness", "says"), DELETE),
    (("findings", 0, "evidence", "sharpness", "value"), {}),
    (("findings", 0, "evidence", "sharpness", "value"), [1, "two", None, [3]]),
    (("findings", 0, "evidence", "sharpness", "value"), [1, "two", None, True]),
    (("findings", 0, "evidence", "sharpness", "value"), False),
    (("findings", 0, "evidence", "sharpness", "limit"), "1"),
    (("findings", 0, "evidence", "sharpness", "error"), -1),
    (("findings", 0, "evidence", "sharpness", "unit"), DELETE),
    (("findings", 0, "evidence", "sharpness", "source"), "a later version"),
    (("findings", 0, "trials", 0, "ended"), "done"),
    (("findings", 0, "trials", 0, "seed"), 0.5),
    (("findings", 0, "trials", 0, "seed"), 2.0),
    (("findings", 0, "trials", 0, "seed"), None),
    (("findings", 0, "trials", 0, "steps"), -1),
    (("findings", 0, "trials", 0, "steps"), None),
    (("findings", 0, "trials", 0, "loss"), None),
    (("findings", 0, "trials", 0, "loss", "values"), [1.0, None, "x"]),
    (("findings", 0, "trials", 0, "measure", "values"), [[1, 2, 3]]),
    (("findings", 0, "trials", 0, "measure", "values"), [[1]]),
    (("findings", 0, "trials", 0, "measure", "values"), [[1, None]]),
    (("findings", 0, "trials", 0, "measure"), None),
    (("findings", 0, "trials", 0, "measure"), {}),
    (("findings", 0, "remedy"), None),
    (("findings", 0, "remedy"), "less"),
    (("findings", 0, "remedy", "interventions", 0, "kind"), DELETE),
    (("findings", 0, "verified"), None),
    (("findings", 0, "verified"), {"held": True}),
    (("findings", 0, "verified", "held"), 1),
    (("findings", 0, "verified", "seeds"), ["0"]),
    (("ruled_out", 0, "trial"), DELETE),
    (("ruled_out", 3, "trial"), {}),
    (("baseline",), None),
    (("baseline",), DELETE),
    (("budget", "trials"), 1.5),
    (("budget", "limit"), None),
    (("budget", "seconds"), None),
    (("environment", "torch"), 2.13),
    (("script", "arguments"), ["--lr", 1]),
    (("a_later_field",), {"of": "a minor version"}),
]


def damaged(data: dict[str, Any], place: Path_, value: Any) -> Any:
    """A copy of `data` with `value` at `place`."""
    if not place:
        return value
    data = copy.deepcopy(data)
    target: Any = data
    for key in place[:-1]:
        target = target[key]
    if value is DELETE:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return data


def short(data: Any) -> Any:
    """A copy of `data` without the bulk of its curves."""
    match data:
        case dict():
            return {key: short(value) for key, value in data.items()}
        case list():
            return [short(value) for value in data[:5]]
    return data


def independently_valid(data: Any) -> bool:
    return jsonschema.Draft202012Validator(schema()).is_valid(data)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_samples_fit_the_schema(sample):
    data = plain(sample)
    jsonschema.validate(data, schema())
    assert report.validate(data) == data


@pytest.mark.parametrize(("place", "value"), DAMAGE, ids=repr)
def test_the_check_agrees_with_jsonschema(samples, place, value):
    data = damaged(short(samples["obstructed"]), place, value)
    assert (not list(complaints(data, schema(), schema()))) == independently_valid(data)


def test_the_damage_is_of_both_kinds(samples):
    data = short(samples["obstructed"])
    valid = [independently_valid(damaged(data, *how)) for how in DAMAGE]
    assert valid.count(True) >= 10
    assert valid.count(False) >= 30


def test_every_required_field_is_missed(samples):
    data = samples["obstructed"]
    for name in schema()["$defs"]["report"]["required"]:
        with pytest.raises(report.ReportError, match=name):
            report.validate({key: value for key, value in data.items() if key != name})


def test_every_field_is_described():
    for kind in schema()["$defs"].values():
        assert kind["description"]
        for field in kind.get("properties", {}).values():
            assert field["description"].endswith(".")


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (
            ("findings", 0, "confidence"),
            1.7,
            "findings[0].confidence is 1.7; the most allowed is 1",
        ),
        (("verdict",), "ill", "verdict is 'ill'; it must be one of 'healthy', 'obstructed', "),
        (("budget",), {}, "budget lacks seconds, limit, plain_seconds, trials, interrupted"),
        (
            ("baseline", "loss", "values"),
            ["x"],
            "loss.values[0] is 'x'; it must be a number or null",
        ),
        (("findings", 0, "cause"), "Too High", "findings[0].cause is 'Too High'; it must match"),
        (("schema",), 2, "written by a newer Thalweg (schema 2; this one reads 1): upgrade"),
        (("schema",), 1.5, "written by a newer Thalweg (schema 1.5; this one reads 1): upgrade"),
        (("schema",), DELETE, 'not a Thalweg report: it has no "schema"'),
        ((), [1], 'not a Thalweg report: it has no "schema"'),
    ],
    ids=str,
)
def test_an_error_names_the_place(samples, tmp_path, place, value, says):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(damaged(samples["obstructed"], place, value)))
    with pytest.raises(report.ReportError) as caught:
        report.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_complaints_are_cut_short(samples):
    data = samples["obstructed"]
    data["baseline"]["loss"]["values"] = ["x"] * 1000
    with pytest.raises(report.ReportError) as caught:
        report.validate(data)
    assert str(caught.value).endswith("; and more.")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON: Expecting value at line 1 column 1"),
        (
            b'{"schema": 1,\n',
            "not JSON: Expecting property name enclosed in double quotes at line 2",
        ),
        (b'{"schema": NaN}', "not JSON: NaN is not a number of JSON"),
        (b'{"schema": 1, "x": -Infinity}', "not JSON: -Infinity is not a number of JSON"),
        (b"\xff\xfe{}", "not JSON: it is not text in UTF-8"),
        (b"[" * 100_000, "not JSON: "),
    ],
    ids=["empty", "cut short", "NaN", "infinity", "not text", "deep"],
)
def test_what_is_not_json_is_refused(tmp_path, content, says):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(report.ReportError) as caught:
        report.read(path)
    assert str(caught.value).startswith(f"{path}: {says}")


def test_a_missing_file_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(report.ReportError, match="no such file"):
        report.read(path)


@pytest.mark.parametrize("name", ["", "folder/none\0.json"])
def test_what_cannot_be_opened_is_refused(tmp_path, name):
    with pytest.raises(report.ReportError, match="cannot be read"):
        report.read(f"{tmp_path}/{name}")


def test_the_front_of_the_package():
    assert issubclass(report.ReportError, ValueError)
    assert all(callable(getattr(report, name)) for name in report.__all__ if name != "Report")


@pytest.mark.parametrize(
    ("call", "hidden", "extra"),
    [
        (report.render_text, "rich.console", "cli"),
        (report.before_and_after, "rich.console", "cli"),
        (lambda data: report.write_html(data, Path("x.html")), "altair", "report"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, samples, call, hidden, extra):
    monkeypatch.setitem(__import__("sys").modules, hidden, None)
    for part in ("text", "html", "figures", "page"):
        monkeypatch.delitem(__import__("sys").modules, f"thalweg.report.{part}", raising=False)
        monkeypatch.delattr(report, part, raising=False)
    with pytest.raises(
        report.ReportError, match=rf"install it with: pip install 'thalweg\[{extra}\]'"
    ):
        call(samples["healthy"])
